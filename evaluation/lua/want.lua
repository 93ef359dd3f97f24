-- Add to the demand of ten minutes. KEYS: the hash of these ten minutes, that of the ten before.
-- ARGV: tokens, micro-dollars, time to live in seconds. Returns tokens and micro-dollars of both.
local tokens = redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[1])
local micro = redis.call('HINCRBY', KEYS[1], 'micro', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local earlier = redis.call('HMGET', KEYS[2], 'tokens', 'micro')
return {tokens, micro, earlier[1] or 0, earlier[2] or 0}
