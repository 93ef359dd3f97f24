-- Reserve tokens and micro-dollars of a day's budget, or refuse (0).
-- KEYS: the day's hash. ARGV: tokens, micro, most tokens (-1: any), most micro (-1: any), time to live in seconds.
local tokens = tonumber(redis.call('HGET', KEYS[1], 'tokens') or '0')
local micro = tonumber(redis.call('HGET', KEYS[1], 'micro') or '0')
local most_tokens, most_micro = tonumber(ARGV[3]), tonumber(ARGV[4])
if most_tokens >= 0 and tokens + tonumber(ARGV[1]) > most_tokens then return 0 end
if most_micro >= 0 and micro + tonumber(ARGV[2]) > most_micro then return 0 end
redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'micro', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
