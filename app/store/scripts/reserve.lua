-- Reserve money for a run, unless a budget does not cover it. Money is an integer of 1e-9 CNY.
-- ARGV: run, client, amount, budget of the client, budget of all (0: none), estimate.
-- Returns {'ok'}; {'client' or 'service', s until the UTC day ends}; {'unknown'} if Redis has no such run under way.
local run, client, amount, estimate = 'isp:run:' .. ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[6]
local seconds = tonumber(redis.call('TIME')[1])
local day = string.format('%d', math.floor(seconds / 86400))
if redis.call('HEXISTS', run, 'day') == 1 then return {'ok'} end -- asked again since the answer was lost
local function covers(name, budget)
  local money = redis.call('HMGET', 'isp:spend:' .. day .. ':' .. name, 'spent', 'reserved')
  return budget == 0 or tonumber(money[1] or 0) + tonumber(money[2] or 0) + amount <= budget
end
if not covers(client, tonumber(ARGV[4])) then return {'client', 86400 - seconds % 86400} end
if not covers('', tonumber(ARGV[5])) then return {'service', 86400 - seconds % 86400} end
-- It was refused here, and is restored and reserved later; or it has ended, and would never be settled.
if redis.call('HGET', run, 'status') ~= 'running' then return {'unknown'} end
redis.call('HSET', run, 'day', day, 'reserved', ARGV[3], 'estimate', estimate)
for _, name in ipairs({client, ''}) do
  local account = 'isp:spend:' .. day .. ':' .. name
  redis.call('HINCRBY', account, 'reserved', ARGV[3])
  redis.call('HINCRBY', account, 'searches', 1)
  redis.call('EXPIRE', account, 3 * 86400)
end
return {'ok'}
