-- Seal a shard up to a tick and read what became visible since the last committed one.
--
-- KEYS  1 meta (hash)  2 inbytes (hash)
-- ARGV  1 token  2 tick to seal  3 first tick to read  4 prefix of the inbox keys
--       5 committed tick that the caller goes on from, empty: any  6 most bytes of deltas in the answer
--
-- After this the inboxes up to the tick never change, so that whoever evaluates them, however often, sees the same.
-- Deltas beyond the most bytes are left out, and read on in pieces: they no longer change.
-- Returns {1, tick, bytes, {blobs}, tick, bytes, ...} in order of ticks, or {0} if the epoch is not this one,
-- or another tick is committed (Redis has lost a commit: what would be published now stands on what is gone).
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {0} end
if ARGV[5] ~= '' and redis.call('HGET', KEYS[1], 'committed') ~= ARGV[5] then return {0} end
local upto, from = tonumber(ARGV[2]), tonumber(ARGV[3])
if upto > tonumber(redis.call('HGET', KEYS[1], 'sealed') or '0') then
  redis.call('HSET', KEYS[1], 'sealed', ARGV[2])
end
local ticks = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local tick = tonumber(field)
  if tick >= from and tick <= upto then ticks[#ticks + 1] = tick end
end
table.sort(ticks)
local answer, room = {1}, tonumber(ARGV[6])
for _, tick in ipairs(ticks) do
  local name = string.format('%.0f', tick)
  local key, bytes = ARGV[4] .. name, tonumber(redis.call('HGET', KEYS[2], name))
  room = room - bytes
  answer[#answer + 1] = name
  answer[#answer + 1] = bytes
  answer[#answer + 1] = room >= 0 and redis.call('LRANGE', key, 0, -1) or {}
end
return answer
