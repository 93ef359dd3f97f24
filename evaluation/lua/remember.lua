-- Keep a record as the newest of a list. KEYS: the list. ARGV: the record, how many are kept, time to live in seconds.
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
return redis.call('EXPIRE', KEYS[1], ARGV[3])
