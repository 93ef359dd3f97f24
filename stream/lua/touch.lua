-- Note source partitions that were found read to their end, so that they do not hold the watermark back.
--
-- KEYS  1 meta (hash)  2 parts (hash)
-- ARGV  triples (partition, expected next offset, reference ms: event time up to which it is known to be empty)
--
-- A partition whose stored offset is another one is left alone: the note is about a position that is not the shard's.
-- It is told, for the caller is then a zombie, or Redis has lost what was committed last.
-- Returns {1, pending bytes, newest ms of all}, {0, partition, stored next, stored newest ms}, or {-2} if the shard is not
-- there.
local meta, parts = KEYS[1], KEYS[2]
if not redis.call('HGET', meta, 'born') then return {-2} end
local other
for at = 1, #ARGV, 3 do
  local stored = redis.call('HMGET', parts, ARGV[at] .. '#next', ARGV[at] .. '#newest', ARGV[at] .. '#empty')
  if stored[1] == ARGV[at + 1] then
    if tonumber(ARGV[at + 2]) > tonumber(stored[3] or '0') then
      redis.call('HSET', parts, ARGV[at] .. '#empty', ARGV[at + 2])
    end
  else
    other = other or {0, ARGV[at], stored[1] or '-1', stored[2] or ''}
  end
end
if other then return other end
return {1, tonumber(redis.call('HGET', meta, 'pending') or '0'), redis.call('HGET', meta, 'newest') or '0'}
