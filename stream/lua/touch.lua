-- Note source partitions that were found read to their end, so that they do not hold the watermark back.
--
-- KEYS  1 meta (hash)  2 parts (hash)
-- ARGV  triples (partition, expected next offset, reference ms: event time up to which it is known to be empty)
--
-- A partition whose stored offset is another one is left alone: the note is about a position that is not the shard's.
-- Whoever makes such a note must look where the shard stands: it may have been born anew, and nothing else would tell.
-- Returns {1, pending bytes, newest ms of all}, {0, partition, its next offset, its newest ms} for the first such
-- partition (empty texts if the shard does not know it), or {-2} if the shard is not there.
local meta, parts = KEYS[1], KEYS[2]
if not redis.call('HGET', meta, 'born') then return {-2} end
local other = nil
for at = 1, #ARGV, 3 do
  local stored = redis.call('HGET', parts, ARGV[at] .. '#next')
  if stored ~= ARGV[at + 1] then
    other = other or {0, ARGV[at], stored or '', redis.call('HGET', parts, ARGV[at] .. '#newest') or ''}
  else
    local known = tonumber(redis.call('HGET', parts, ARGV[at] .. '#empty') or '0')
    if tonumber(ARGV[at + 2]) > known then redis.call('HSET', parts, ARGV[at] .. '#empty', ARGV[at + 2]) end
  end
end
if other then return other end
return {1, tonumber(redis.call('HGET', meta, 'pending') or '0'), redis.call('HGET', meta, 'newest') or '0'}
