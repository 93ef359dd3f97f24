-- Commit evaluated ticks of a shard, with a checkpoint of its state if one is given.
--
-- KEYS  1 meta (hash)  2 inbytes (hash)  3 state (string)
-- ARGV  1 token  2 expected committed tick  3 tick  4 prefix of the inbox keys  5 prefix of the hour keys
--       6 expiry of hours, seconds  7 state blob (empty: no checkpoint)  8 its layout, then pairs (hour suffix, blob)
--
-- A checkpoint, its layout and the tick that it stands for are written together, and the inboxes that it covers are
-- removed.
-- Returns 1, or 0 if the epoch, the committed tick or the seal is not what the caller saw (fenced, or Redis lost data).
local meta, inbytes = KEYS[1], KEYS[2]
local known = redis.call('HMGET', meta, 'epoch', 'committed', 'sealed')
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then return 0 end
if tonumber(known[3] or '0') < tonumber(ARGV[3]) then return 0 end
redis.call('HSET', meta, 'committed', ARGV[3])
if #ARGV[7] == 0 then return 1 end

redis.call('SET', KEYS[3], ARGV[7])
for at = 9, #ARGV, 2 do
  redis.call('SET', ARGV[5] .. ARGV[at], ARGV[at + 1], 'EX', ARGV[6])
end
redis.call('HSET', meta, 'checkpoint', ARGV[3], 'layout', ARGV[8])
local upto, freed = tonumber(ARGV[3]), 0
for _, field in ipairs(redis.call('HKEYS', inbytes)) do
  if tonumber(field) <= upto then
    freed = freed + tonumber(redis.call('HGET', inbytes, field))
    redis.call('DEL', ARGV[4] .. field)
    redis.call('HDEL', inbytes, field)
  end
end
-- Minus nothing would be written '-0', which Redis does not take for a number.
if freed > 0 then redis.call('HINCRBY', meta, 'pending', -freed) end
return 1
