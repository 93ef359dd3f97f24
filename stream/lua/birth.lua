-- Bring a shard into being, empty or from a snapshot; a shard that is there already stays as it is.
--
-- KEYS  1 meta (hash)  2 parts (hash)  3 inbytes (hash)  4 state (string)
-- What a shard of this name had committed, or was silent up to, before it was set aside, was said: it stays silent.
--
-- ARGV  1 layout  2 number of shards  3 tick that the snapshot was taken at, 0 for none  4 tick up to which nothing is
--       to be emitted  5 state blob, empty for none  6 prefix of the inbox keys  7 prefix of the hour keys
--       8 expiry of hours, seconds  9 number of fields of parts F, then F x (field, value)
--       then the number of hours H, then H x (suffix, blob), then pairs (tick, packed delta)
-- Returns 1 if the shard was made, 0 if it was there.
local meta, parts, inbytes, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('HGET', meta, 'born') then return 0 end
for _, tick in ipairs(redis.call('HKEYS', inbytes)) do redis.call('DEL', ARGV[6] .. tick) end
redis.call('DEL', parts, inbytes, state)
local quiet = tonumber(ARGV[4])
for _, said in ipairs(redis.call('HMGET', meta, 'committed', 'quiet')) do
  quiet = math.max(quiet, tonumber(said or '0'))
end
redis.call('HSET', meta, 'born', '1', 'layout', ARGV[1], 'shards', ARGV[2], 'committed', ARGV[3], 'sealed', ARGV[3],
           'checkpoint', ARGV[3], 'quiet', string.format('%.0f', quiet), 'pending', '0', 'newest', '0')
if #ARGV[5] > 0 then redis.call('SET', state, ARGV[5]) end
local at = 10
for i = 1, tonumber(ARGV[9]) do
  redis.call('HSET', parts, ARGV[at], ARGV[at + 1])
  at = at + 2
end
local hours = tonumber(ARGV[at])
at = at + 1
for i = 1, hours do
  redis.call('SET', ARGV[7] .. ARGV[at], ARGV[at + 1], 'EX', ARGV[8])
  at = at + 2
end
local pending = 0
while at < #ARGV do
  redis.call('RPUSH', ARGV[6] .. ARGV[at], ARGV[at + 1])
  redis.call('HINCRBY', inbytes, ARGV[at], #ARGV[at + 1])
  pending = pending + #ARGV[at + 1]
  at = at + 2
end
redis.call('HSET', meta, 'pending', pending)
return 1
