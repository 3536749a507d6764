-- Send a message to a replica. ARGV: replica, message, most messages kept, ms that they are kept.
local key = 'isp:ctl:' .. ARGV[1]
redis.call('XADD', key, 'MAXLEN', '~', ARGV[3], '*', 'd', ARGV[2])
redis.call('PEXPIRE', key, ARGV[4])
