-- Note who got a response first, and the tokens that a follow-up sends again. ARGV: response, owner, tokens, TTL s.
local key = 'isp:resp:' .. ARGV[1]
redis.call('HSETNX', key, 'owner', ARGV[2])
redis.call('HSET', key, 'tokens', ARGV[3])
redis.call('EXPIRE', key, ARGV[4])
