-- Note that a worker lives, and forget those that have not said so for too long.
--
-- KEYS  1 workers (sorted set: name by when it counts as gone)
-- ARGV  1 worker  2 when it will count as gone, ms  3 now, ms
-- Returns how many live.
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
return redis.call('ZCARD', KEYS[1])
