-- Take the lease of a shard, if it is free or already ours, and start a new epoch.
--
-- KEYS  1 meta (hash)  2 lease (string with expiry: the owner)
-- ARGV  1 owner  2 milliseconds
-- Returns the epoch's token ("n:owner"), or nil if another owner holds the lease or the shard is not there.
if not redis.call('HGET', KEYS[1], 'born') then return false end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return false end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local token = redis.call('HINCRBY', KEYS[1], 'epochs', 1) .. ':' .. ARGV[1]
redis.call('HSET', KEYS[1], 'epoch', token)
return token
