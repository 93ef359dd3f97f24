-- Make source partitions known to a shard, each with the offset from which it is to be read; known ones stay as they are.
--
-- KEYS  1 meta (hash)  2 parts (hash)
-- ARGV  triples (partition, first offset, newest event ms)
-- Returns {1} or {-2} if the shard is not there.
if not redis.call('HGET', KEYS[1], 'born') then return {-2} end
for at = 1, #ARGV, 3 do
  if redis.call('HSETNX', KEYS[2], ARGV[at] .. '#next', ARGV[at + 1]) == 1 then
    redis.call('HSET', KEYS[2], ARGV[at] .. '#newest', ARGV[at + 2])
  end
end
return {1}
