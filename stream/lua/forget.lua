-- Set a shard aside whose state cannot be read, so that it is brought into being anew. The state is kept for a look at it.
--
-- KEYS  1 meta (hash)  2 state (string)  3 unreadable (string with expiry)
-- ARGV  1 token  2 seconds that the unreadable state is kept  3 '1' if its snapshots are of no use either
--
-- Epochs go on counting, and the lease stays. Whoever is the first makes the shard anew, so what it is not to be made
-- from is said here. Offsets and inboxes are removed at the birth.
-- Returns 1, or 0 if the epoch is not this one.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'born', 'snapshot')
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'without', '1') else redis.call('HDEL', KEYS[1], 'without') end
if redis.call('EXISTS', KEYS[2]) == 1 and redis.call('RENAMENX', KEYS[2], KEYS[3]) == 1 then
  redis.call('EXPIRE', KEYS[3], ARGV[2])
end
return 1
