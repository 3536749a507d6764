-- The one end of a run: write its last events, fence its log, settle its cost, free what points to it.
-- ARGV: 'owner', 'reaper' or 'undo', replica, run, status, cost, TTL ms, TTL ms of the fingerprint (0: freed), quiet ms,
--   number of events before, how it ended; then number, type and data of each event, the last one's type may be ''.
-- To undo is to end a run whose owner does not know whether it was claimed; a claim that still comes finds it ended.
-- A reaper may end a run only if its replica's lease is gone, and Redis was not down in the last `quiet` ms.
-- Returns {'done'}; {'ended'} when another ended it; {'gone'}; {'conflict'} when the log is not where the caller
-- thought; {'alive'} when a reaper must not.
local as, replica, run, status = unpack(ARGV, 1, 4)
local cost, ttl, fp_ttl, quiet, before = unpack(ARGV, 5, 9)
local hash, log = 'isp:run:' .. run, 'isp:log:' .. run
ttl = math.max(tonumber(ttl), 10000) -- readers elsewhere have to read the end
local names = {'replica', 'status', 'fp', 'key', 'client', 'day', 'reserved', 'by'}
local known = {}
for i, value in ipairs(redis.call('HMGET', hash, unpack(names))) do known[names[i]] = value end
if not known.replica then
  if as == 'undo' then
    redis.call('HSET', hash, 'status', 'failed')
    redis.call('PEXPIRE', hash, ttl)
  end
  return {'gone'}
end
if known.status ~= 'running' then return {known.by == replica and 'done' or 'ended'} end
if as == 'reaper' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + time[2] / 1000
  if redis.call('EXISTS', 'isp:replica:' .. known.replica) == 1 then return {'alive'} end
  if now - tonumber(redis.call('GET', 'isp:down') or 0) < tonumber(quiet) then return {'alive'} end
elseif known.replica ~= replica then
  return {'ended'}
end
local top = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local last = top and string.match(top[1], '^%d+') or as == 'reaper' and '0' -- a log may be lost with its owner
if last ~= before then return {'conflict'} end
-- The first write is one that full memory does not refuse; those after it then pass too.
redis.call('SREM', 'isp:runs:' .. known.replica, run)
for i = 11, #ARGV - 3, 3 do redis.call('XADD', log, ARGV[i] .. '-0', ARGV[i + 1], ARGV[i + 2]) end
local number, event, data = unpack(ARGV, #ARGV - 2)
-- A fence: whatever number a stalled owner writes next, it is not greater; nor is the cursor of any reader.
redis.call('XADD', log, '4611686018427387904-' .. number, event, data, 'e', ARGV[10])
redis.call('HSET', hash, 'status', status, 'by', replica)
if known.day then
  for _, name in ipairs({known.client, ''}) do
    local account = 'isp:spend:' .. known.day .. ':' .. name
    redis.call('HINCRBY', account, 'reserved', string.format('%d', -tonumber(known.reserved)))
    redis.call('HINCRBY', account, 'spent', cost)
  end
end
local function free(pointer, kept_ms)
  if redis.call('GET', pointer) ~= run then return end
  if status == 'completed' and tonumber(kept_ms) > 0 then
    redis.call('PEXPIRE', pointer, kept_ms)
  else
    redis.call('DEL', pointer)
  end
end
free('isp:fp:' .. known.fp, fp_ttl)
if known.key ~= '' then free('isp:key:' .. known.client .. ':' .. known.key, ttl) end
-- An owner that stood still may come back late, and any asks again for what it ended in the last minute: it must
-- not find that nothing is known of its run, which it would write and charge again.
redis.call('PEXPIRE', hash, as == 'reaper' and 86400000 or math.max(ttl, 120000))
redis.call('PEXPIRE', log, ttl)
return {'done'}
