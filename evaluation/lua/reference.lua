-- Keep the first scores of anchors. KEYS: the hash. ARGV: time to live in seconds, then pairs (anchor, score).
-- Returns all that are kept, as pairs.
for at = 2, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('HGETALL', KEYS[1])
