-- Have a run found by a name, wherever it is asked for. ARGV: name, run, TTL s.
redis.call('SET', 'isp:name:' .. ARGV[1], ARGV[2], 'EX', ARGV[3])
