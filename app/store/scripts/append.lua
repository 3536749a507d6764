-- One window of a replica: what its runs have grown by. ARGV: for each entry run, number of its last event, events.
-- Returns how many runs were refused: their log has vanished, a number is not greater than the last (it was written
-- already, or the run was ended), or memory is full. Nothing of a run is written behind a refused entry.
local refused, count = {}, 0
for i = 1, #ARGV, 3 do
  local run = ARGV[i]
  if not refused[run] then
    local reply = redis.pcall('XADD', 'isp:log:' .. run, 'NOMKSTREAM', ARGV[i + 1] .. '-0', 'd', ARGV[i + 2])
    if not reply or reply.err then
      refused[run] = true
      count = count + 1
    end
  end
end
return count
