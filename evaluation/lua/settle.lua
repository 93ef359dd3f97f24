-- Put what something took in the place of what was reserved for it.
-- KEYS: the day's hash. ARGV: tokens to add, micro-dollars to add (both may be negative), time to live in seconds.
redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'micro', ARGV[2])
return redis.call('EXPIRE', KEYS[1], ARGV[3])
