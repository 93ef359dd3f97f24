-- Drop a shard whose state cannot be read: from here on it is as good as never born.
--
-- KEYS  1 meta (hash)
-- ARGV  1 token
-- What else the shard has is cleared away when it is born again.
-- Returns 1, or 0 if the epoch is not this one.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
