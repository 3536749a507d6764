-- One window of a replica: what its runs have grown by. ARGV: for each entry run, number of its last event, events.
-- Returns {run, reason, ...} of those refused: 'vanished', or Redis' own words, such as for a number that is not
-- greater than the last (written already, or the run was ended) or full memory. Nothing of a run is written behind
-- a refused entry.
local refusals, refused = {}, {}
for i = 1, #ARGV, 3 do
  local run = ARGV[i]
  if not refused[run] then
    local reply = redis.pcall('XADD', 'isp:log:' .. run, 'NOMKSTREAM', ARGV[i + 1] .. '-0', 'd', ARGV[i + 2])
    if not reply or reply.err then
      refused[run] = true
      refusals[#refusals + 1] = run
      refusals[#refusals + 1] = reply and reply.err or 'vanished'
    end
  end
end
return refusals
