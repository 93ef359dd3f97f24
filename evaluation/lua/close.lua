-- Keep how a batch ended, and put what it took in the place of what was reserved, all at once.
-- KEYS: the hash of batches, the day's purse. ARGV: name, the batch, 1 if the purse is to be settled, tokens to add,
-- micro-dollars to add, time to live in seconds.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] == '1' then
  redis.call('HINCRBY', KEYS[2], 'tokens', ARGV[4])
  redis.call('HINCRBY', KEYS[2], 'micro', ARGV[5])
  redis.call('EXPIRE', KEYS[2], ARGV[6])
end
return 1
