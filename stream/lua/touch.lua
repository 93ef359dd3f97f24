-- Note source partitions that were found read to their end, so that they do not hold the watermark back.
--
-- KEYS  1 meta (hash)  2 parts (hash)
-- ARGV  triples (partition, expected next offset, reference ms: event time up to which it is known to be empty)
--
-- A partition whose stored offset is another one is left alone: the note is about a position that is not the shard's.
-- Returns {1, pending bytes, newest ms of all} or {-2} if the shard is not there.
local meta, parts = KEYS[1], KEYS[2]
if not redis.call('HGET', meta, 'born') then return {-2} end
for at = 1, #ARGV, 3 do
  if redis.call('HGET', parts, ARGV[at] .. '#next') == ARGV[at + 1] then
    local known = tonumber(redis.call('HGET', parts, ARGV[at] .. '#empty') or '0')
    if tonumber(ARGV[at + 2]) > known then redis.call('HSET', parts, ARGV[at] .. '#empty', ARGV[at + 2]) end
  end
end
return {1, tonumber(redis.call('HGET', meta, 'pending') or '0'), redis.call('HGET', meta, 'newest') or '0'}
