-- Read what becomes visible at some ticks, and change nothing.
--
-- KEYS  1 inbytes (hash)
-- ARGV  1 first tick  2 last tick  3 prefix of the inbox keys
-- Returns the packed deltas in order of ticks.
local first, last, ticks = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local tick = tonumber(field)
  if tick >= first and tick <= last then ticks[#ticks + 1] = tick end
end
table.sort(ticks)
local answer = {}
for _, tick in ipairs(ticks) do
  for _, blob in ipairs(redis.call('LRANGE', ARGV[3] .. string.format('%.0f', tick), 0, -1)) do
    answer[#answer + 1] = blob
  end
end
return answer
