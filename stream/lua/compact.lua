-- Put one packed delta in the place of several that add up to it, in an inbox that is still open.
--
-- KEYS  1 meta (hash)  2 inbytes (hash)
-- ARGV  1 token  2 prefix of the inbox keys  3 tick  4 place of the first  5 how many  6 SHA-1 of their bytes, in hex
--       7 the packed delta
--
-- It is their bytes that count, not that they were read here a moment ago: Redis may have come back from an older copy
-- of itself meanwhile, and hold others in the same places. A sealed inbox stays as it is: it is being evaluated.
-- Returns 1, or 0 if the epoch, the seal or the bytes are not what the caller saw.
local meta, key = KEYS[1], ARGV[2] .. ARGV[3]
local known = redis.call('HMGET', meta, 'epoch', 'sealed')
if known[1] ~= ARGV[1] or tonumber(known[2] or '0') >= tonumber(ARGV[3]) then return 0 end
local first, count = tonumber(ARGV[4]), tonumber(ARGV[5])
local all = table.concat(redis.call('LRANGE', key, first, first + count - 1))
if redis.sha1hex(all) ~= ARGV[6] then return 0 end
-- Lists are cut at their ends alone: what stands on the smaller side is taken out and put back.
local gained, size = #ARGV[7] - #all, tonumber(redis.call('HGET', KEYS[2], ARGV[3]))
local before, bytes = first == 0 and {} or redis.call('LRANGE', key, 0, first - 1), 0
for _, blob in ipairs(before) do bytes = bytes + #blob end
if bytes <= size - #all - bytes then
  redis.call('LTRIM', key, first + count, -1)
  redis.call('LPUSH', key, ARGV[7])
  for at = #before, 1, -1 do redis.call('LPUSH', key, before[at]) end
else
  local rest = redis.call('LRANGE', key, first + count, -1)
  redis.call('LTRIM', key, 0, first - 1)
  redis.call('RPUSH', key, ARGV[7])
  for _, blob in ipairs(rest) do redis.call('RPUSH', key, blob) end
end
redis.call('HINCRBY', KEYS[2], ARGV[3], string.format('%.0f', gained))
redis.call('HINCRBY', meta, 'pending', string.format('%.0f', gained))
return 1
