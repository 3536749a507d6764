-- One window of a replica: what its runs have grown by. ARGV: for each event run, number, type, data.
-- Returns how many runs were refused: their log has vanished, a number is not greater than the last (it was written
-- already, or the run was ended), or memory is full. Nothing of a run is written after a refused event.
local refused, count = {}, 0
for i = 1, #ARGV, 4 do
  local run = ARGV[i]
  if not refused[run] then
    local log, id = 'isp:log:' .. run, ARGV[i + 1] .. '-0'
    local reply = redis.pcall('XADD', log, 'NOMKSTREAM', id, ARGV[i + 2], ARGV[i + 3])
    if not reply or reply.err then
      refused[run] = true
      count = count + 1
    end
  end
end
return count
