-- Claim an interaction for one judge. KEYS: the claim. ARGV: what stands there while it is ours, lease in ms.
-- Returns '' if it is ours now, else what stands there: 'owner:...' while somebody works on it, or the results.
local held = redis.call('GET', KEYS[1])
if held then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''
