-- Lay a piece of a snapshot ready for the birth of a shard, under names that expire by themselves and that nobody reads.
--
-- KEYS  1 meta (hash)  2 names (hash: name to bytes)
-- ARGV  1 prefix of the staged keys  2 their expiry, seconds, then pairs (name, blob)
--
-- A name is that of the key that it becomes, without the shard's prefix. An hour is one blob; of the state, and of an
-- inbox, there may be several, which stand in a list.
-- Returns 1, or 0 if the shard is there already: then nothing is written.
if redis.call('HGET', KEYS[1], 'born') then return 0 end
for at = 3, #ARGV, 2 do
  local key = ARGV[1] .. ARGV[at]
  if string.sub(ARGV[at], 1, 5) == 'hour:' then
    redis.call('SET', key, ARGV[at + 1], 'EX', ARGV[2])
  else
    redis.call('RPUSH', key, ARGV[at + 1])
    redis.call('EXPIRE', key, ARGV[2])
  end
  redis.call('HINCRBY', KEYS[2], ARGV[at], #ARGV[at + 1])
end
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
