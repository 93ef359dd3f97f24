-- Note when a shard was last put into the compacted topic.
--
-- KEYS  1 meta (hash)
-- ARGV  1 token  2 milliseconds since 1970
-- Returns 1, or 0 if the epoch is not this one.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'snapshot', ARGV[2])
return 1
