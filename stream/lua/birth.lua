-- Bring a shard into being, empty or from a snapshot; a shard that is there already stays as it is.
--
-- One that was set aside and whose snapshots are of no use (`without`) is made from none.
-- What a shard of this name had committed, or was silent up to, before it was set aside, was said: it stays silent.
--
-- KEYS  1 meta (hash)  2 parts (hash)  3 inbytes (hash)  4 state (string)  5 names of what was staged (hash)
-- ARGV  1 layout  2 number of shards  3 tick that the snapshot was taken at, 0 for none  4 tick up to which nothing is
--       to be emitted  5 state blob, empty for none  6 prefix of the inbox keys  7 prefix of the hour keys
--       8 expiry of hours, seconds  9 number of staged names (stage.lua): they become the shard's
--       10 number of fields of parts F, then F x (field, value)
--       then the number of hours H, then H x (suffix, blob), then pairs (tick, packed delta)
-- Returns 1 if the shard was made, 0 if it was there or not to be made of this, -1 if not all is there that was staged: then nothing is written.
local meta, parts, inbytes, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('HGET', meta, 'born') then return 0 end
if ARGV[3] ~= '0' and redis.call('HGET', meta, 'without') then return 0 end
local staged = redis.call('HGETALL', KEYS[5])
local there = 0
for i = 1, #staged, 2 do
  there = there + redis.call('EXISTS', string.sub(KEYS[5], 1, -6) .. staged[i])
end
if there ~= tonumber(ARGV[9]) then return -1 end
for _, tick in ipairs(redis.call('HKEYS', inbytes)) do redis.call('DEL', ARGV[6] .. tick) end
redis.call('DEL', parts, inbytes, state)
local quiet = tonumber(ARGV[4])
for _, said in ipairs(redis.call('HMGET', meta, 'committed', 'quiet')) do
  quiet = math.max(quiet, tonumber(said or '0'))
end
redis.call('HDEL', meta, 'without')
redis.call('HSET', meta, 'born', '1', 'layout', ARGV[1], 'shards', ARGV[2], 'committed', ARGV[3], 'sealed', ARGV[3],
           'checkpoint', ARGV[3], 'quiet', string.format('%.0f', quiet), 'pending', '0', 'newest', '0')
if #ARGV[5] > 0 then redis.call('SET', state, ARGV[5]) end
local at = 11
for i = 1, tonumber(ARGV[10]) do
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
for i = 1, #staged, 2 do
  local name = staged[i]
  local laid, key = string.sub(KEYS[5], 1, -6) .. name, string.sub(meta, 1, -5) .. name
  if string.sub(name, 1, 5) == 'hour:' then
    redis.call('DEL', key)
    redis.call('RENAMENX', laid, key)
    redis.call('EXPIRE', key, ARGV[8])
  else
    local blobs = redis.call('LRANGE', laid, 0, -1)
    redis.call('DEL', laid)
    if name == 'state' then
      redis.call('SET', state, table.concat(blobs))
    else
      for _, blob in ipairs(blobs) do redis.call('RPUSH', key, blob) end
      redis.call('HINCRBY', inbytes, string.sub(name, 4), staged[i + 1])
      pending = pending + tonumber(staged[i + 1])
    end
  end
end
redis.call('DEL', KEYS[5])
redis.call('HSET', meta, 'pending', pending)
return 1
