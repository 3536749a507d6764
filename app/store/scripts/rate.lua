-- One caller's token bucket (GCRA), by the clock of Redis.
-- ARGV: caller, ms a request, ms of a full bucket.
-- Returns {1 or 0, ms that are used up} for a request that is let through or not.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local key, step, window = 'isp:rate:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local used = math.max(0, tonumber(redis.call('GET', key) or 0) - now)
if used + step - window > step * 1e-6 then return {0, string.format('%.6f', used)} end
used = used + step
redis.call('SET', key, string.format('%.6f', now + used), 'PX', math.ceil(used) + 1000)
return {1, string.format('%.6f', used)}
