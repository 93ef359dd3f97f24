-- Keep (milliseconds > 0) or give up (0) the lease of a shard, if this epoch still holds it.
--
-- KEYS  1 meta (hash)  2 lease (string with expiry)
-- ARGV  1 owner  2 token  3 milliseconds, 0 to release  4 committed tick that the owner believes in, empty: any
--       (one commit more may be under way: the owner renews beside its work)
-- Returns 1, or 0 if the lease has passed to another, or Redis has lost a commit of this owner's.
local known = redis.call('HMGET', KEYS[1], 'epoch', 'committed')
if known[1] ~= ARGV[2] then return 0 end
if ARGV[4] ~= '' and tonumber(known[2] or '0') < tonumber(ARGV[4]) then return 0 end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
end
return 1
