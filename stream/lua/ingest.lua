-- Commit what one batch adds to one shard, together with the source offsets that it covers: all of it or nothing.
--
-- KEYS  1 meta (hash)  2 parts (hash)  3 inbytes (hash: tick -> bytes in its inbox)
-- ARGV  1 prefix of the inbox keys
--       2 number of source partitions P, then P x (partition, expected next offset, new next offset, newest event ms)
--       then pairs (tick, packed delta)
--
-- The compare-and-set on every partition's next offset makes a resend, a zombie or a repeated batch a no-op. A tick
-- that is already sealed takes nothing more: what comes for it is seen at the first tick that is still open.
--
-- Returns {1, pending bytes, newest ms of all}            committed
--         {0, partition, stored next, stored newest ms}   another offset is stored
--         {-1, partition}                                 the shard does not know the partition
--         {-2}                                            the shard is not there (fresh or wiped Redis)
local meta, parts, inbytes = KEYS[1], KEYS[2], KEYS[3]
if not redis.call('HGET', meta, 'born') then return {-2} end

local count = tonumber(ARGV[2])
local at = 3
for i = 1, count do
  local stored = redis.call('HMGET', parts, ARGV[at] .. '#next', ARGV[at] .. '#newest')
  if not stored[1] then return {-1, ARGV[at]} end
  if stored[1] ~= ARGV[at + 1] then return {0, ARGV[at], stored[1], stored[2]} end
  at = at + 4
end

local newest = tonumber(redis.call('HGET', meta, 'newest') or '0')
at = 3
for i = 1, count do
  redis.call('HSET', parts, ARGV[at] .. '#next', ARGV[at + 2], ARGV[at] .. '#newest', ARGV[at + 3])
  newest = math.max(newest, tonumber(ARGV[at + 3]))
  at = at + 4
end
redis.call('HSET', meta, 'newest', string.format('%.0f', newest))

local open = tonumber(redis.call('HGET', meta, 'sealed') or '0') + 1
local added = 0
while at < #ARGV do
  local tick = string.format('%.0f', math.max(tonumber(ARGV[at]), open))
  redis.call('RPUSH', ARGV[1] .. tick, ARGV[at + 1])
  redis.call('HINCRBY', inbytes, tick, #ARGV[at + 1])
  added = added + #ARGV[at + 1]
  at = at + 2
end
local pending = redis.call('HINCRBY', meta, 'pending', added)
return {1, pending, string.format('%.0f', newest)}
