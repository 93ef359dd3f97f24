-- Give a claim more time, where it is still ours. KEYS: the claim. ARGV: what stands there while it is ours, ms.
-- Returns 1 if it was still ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
