-- Claim interactions for a batch. KEYS: the claims. ARGV: what stands there while they are ours, seconds to live.
-- Returns for each claim 1 if it is ours now, else 0.
local answer = {}
for place, key in ipairs(KEYS) do
  answer[place] = redis.call('SET', key, ARGV[1], 'NX', 'EX', ARGV[2]) and 1 or 0
end
return answer
