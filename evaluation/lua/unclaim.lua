-- Give up claims, or put results in their place, where they are still ours. KEYS: the claims.
-- ARGV: what stands there while they are ours, time to live of results in seconds, then for each claim its results,
-- or '' to give it up. Returns how many were still ours.
local count = 0
for place, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then
    local results = ARGV[place + 2]
    if results == '' then
      redis.call('DEL', key)
    else
      redis.call('SET', key, results, 'EX', ARGV[2])
    end
    count = count + 1
  end
end
return count
