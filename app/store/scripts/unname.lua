-- Delete a name, if it still stands for this run. ARGV: name, run.
local key = 'isp:name:' .. ARGV[1]
if redis.call('GET', key) == ARGV[2] then redis.call('DEL', key) end
