-- Read packed deltas of an inbox that is still open, to be put together (stream.compaction); nothing is changed.
--
-- KEYS  1 meta (hash)  2 inbytes (hash)
-- ARGV  1 token  2 prefix of the inbox keys  3 fewest deltas that are worth it  4 most deltas  5 most bytes
--
-- A delta at the front that is larger than all that follow it, or than a quarter of the most bytes, is left alone: it is
-- what was put together before, and to pack it again would cost more than it brings.
-- Returns {tick, place of the first, deltas...}, {} if there are too few anywhere, or {-1} if the epoch is not this one.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {-1} end
local fewest, bytes = tonumber(ARGV[3]), tonumber(ARGV[5])
local sealed, ticks = tonumber(redis.call('HGET', KEYS[1], 'sealed') or '0'), {}
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if tonumber(field) > sealed then ticks[#ticks + 1] = tonumber(field) end
end
table.sort(ticks)
for _, tick in ipairs(ticks) do
  local name = string.format('%.0f', tick)
  -- No more is looked at than could be taken, by the average of all at the front: there may be very many, and large ones.
  local blobs, behind = redis.call('LRANGE', ARGV[2] .. name, 0, 15), 0
  if #blobs >= math.min(fewest, 16) then
    for _, blob in ipairs(blobs) do behind = behind + #blob end
    local most = math.min(tonumber(ARGV[4]), math.max(math.ceil(2 * bytes * #blobs / behind), 2))
    blobs, behind = redis.call('LRANGE', ARGV[2] .. name, 0, most - 1), 0
    for _, blob in ipairs(blobs) do behind = behind + #blob end
    local first = 1
    while first <= #blobs and (#blobs[first] > behind - #blobs[first] or #blobs[first] > bytes / 4) do
      behind = behind - #blobs[first]
      first = first + 1
    end
    local answer, room = {name, first - 1}, bytes
    for at = first, #blobs do
      room = room - #blobs[at]
      if room < 0 then break end
      answer[#answer + 1] = blobs[at]
    end
    if #answer - 2 >= fewest or (room < 0 and #answer > 3) then return answer end
  end
end
return {}
