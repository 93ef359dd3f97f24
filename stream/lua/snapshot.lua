-- Read what a snapshot needs beside the machine's own state: offsets and the inboxes of ticks that are not committed.
--
-- KEYS  1 meta (hash)  2 parts (hash)  3 inbytes (hash)
-- ARGV  1 token  2 committed tick  3 prefix of the inbox keys
-- Returns {1, {field, value, ...} of parts, tick, {blobs}, tick, {blobs}, ...}, or {0} if fenced.
local known = redis.call('HMGET', KEYS[1], 'epoch', 'committed')
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then return {0} end
local answer = {1, redis.call('HGETALL', KEYS[2])}
local ticks = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
  if tonumber(field) > tonumber(ARGV[2]) then ticks[#ticks + 1] = tonumber(field) end
end
table.sort(ticks)
for _, tick in ipairs(ticks) do
  local name = string.format('%.0f', tick)
  answer[#answer + 1] = name
  answer[#answer + 1] = redis.call('LRANGE', ARGV[3] .. name, 0, -1)
end
return answer
