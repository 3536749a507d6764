-- Join the run that answers a request, or claim a new one.
-- ARGV: replica, run, client, fingerprint, idempotency key or '', fresh, run not to be joined or '', listed,
--   TTL ms, restore.
-- With `restore` a run is written again that Redis has lost, or only its log.
-- Returns {outcome, run}: mismatch, join (goes on), hit (has ended), new.
local replica, run, client, fp, key = unpack(ARGV, 1, 5)
local fresh, skip, listed, ttl, restore = ARGV[6] == '1', ARGV[7], ARGV[8], tonumber(ARGV[9]), ARGV[10] == '1'
local hash, log, by_fp = 'isp:run:' .. run, 'isp:log:' .. run, 'isp:fp:' .. fp
local by_key = key ~= '' and 'isp:key:' .. client .. ':' .. key

local function begin_log() -- its first entry has no event; without it NOMKSTREAM could not tell a log that is lost
  if redis.call('EXISTS', log) == 0 then
    redis.call('XADD', log, '0-1', '', '')
    redis.call('PEXPIRE', log, ttl)
  end
end

if redis.call('EXISTS', hash) == 1 then -- asked again since the answer was lost, or the log alone is; or undone
  if redis.call('HGET', hash, 'status') == 'running' then begin_log() end
  return {'new', run}
end

if not restore then
  local function answered_by(pointer)
    local id = redis.call('GET', pointer)
    if not id or id == skip then return nil end
    local found = redis.call('HMGET', 'isp:run:' .. id, 'status', 'fp')
    if found[1] == 'running' or found[1] == 'completed' then
      return {id = id, ended = found[1] == 'completed', fp = found[2]}
    end
  end
  local found = by_key and answered_by(by_key)
  if found and found.fp ~= fp then return {'mismatch', ''} end
  if not found then
    found = answered_by(by_fp)
    if found and found.ended and fresh then found = nil end
    if found and by_key then redis.call('SET', by_key, found.id, 'PX', ttl) end
  end
  if found then return {found.ended and 'hit' or 'join', found.id} end
end

redis.call('HSET', hash, 'replica', replica, 'client', client, 'fp', fp, 'key', key, 'listed', listed,
  'status', 'running')
redis.call('PEXPIRE', hash, ttl)
begin_log()
-- A run that is restored takes the place of one of this replica's: that had claimed it for nothing.
local known = restore and redis.call('GET', by_fp)
if not known or redis.call('HGET', 'isp:run:' .. known, 'replica') == replica then
  redis.call('SET', by_fp, run, 'PX', ttl)
end
if by_key then redis.call('SET', by_key, run, 'PX', ttl) end
redis.call('SADD', 'isp:runs:' .. replica, run)
return {'new', run}
