-- A replica's sign of life. ARGV: replica, lease ms, gap ms, quiet ms.
-- Returns {1 if the lease still stood, epoch, then of each replica whose lease is gone {its id, 1 if the caller is to
-- end its runs}}.
local replica, lease, gap, quiet = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- PEXPIRE first: full memory refuses SET, and all replicas would count as dead.
local held = redis.call('PEXPIRE', 'isp:replica:' .. replica, lease)
if held == 0 then redis.call('SET', 'isp:replica:' .. replica, '1', 'PX', lease) end
-- Nobody gave a sign of life for a while: then Redis was down, and a lease that ran out meanwhile proves nothing.
if now - tonumber(redis.call('GET', 'isp:beat') or 0) > gap then redis.call('SET', 'isp:down', now) end
redis.call('SET', 'isp:beat', now)
-- Another server (a restart, a failover) or an emptied one: what was written may be lost.
redis.call('SET', 'isp:epoch', now .. ':' .. replica, 'NX')
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
redis.call('ZADD', 'isp:replicas', now, replica)
local found = {held, server .. ' ' .. redis.call('GET', 'isp:epoch')}
if now - tonumber(redis.call('GET', 'isp:down') or 0) < quiet then return found end
local all = redis.call('ZRANGE', 'isp:replicas', 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
  local other = all[i]
  if redis.call('EXISTS', 'isp:replica:' .. other) == 0 then
    local runs = redis.call('SCARD', 'isp:runs:' .. other)
    if runs == 0 and now - all[i + 1] > 60000 then redis.call('ZREM', 'isp:replicas', other) end
    local ours = runs > 0 and redis.call('SET', 'isp:reap:' .. other, replica, 'NX', 'PX', 5000)
    found[#found + 1] = {other, ours and 1 or 0}
  end
end
return found
