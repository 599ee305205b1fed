/**
 * Every script first meets some of the deadlines that have come and clears some of what is gone, in bounded steps. So any number of pumps,
 * on any node, does no harm (rule Q4), and what a caller is told never depends on one having run.
 */
export const sweep = `
local function promote(seq)
  local kept = call('HGET', DELAYED, int(seq))
  if not kept then return end
  call('HDEL', DELAYED, int(seq))
  local m = cmsgpack.unpack(kept)
  M.delayed = M.delayed - 1
  -- Its time to live begins now.
  m.exp = m.ttl > 0 and now + m.ttl or 0
  m.tgt = 0
  enqueue(m)
end
local function meet(what)
  local kind, a, b = string.match(what, '^(%a)|(%d+)|(%d+)$')
  if kind == 'e' then
    local m = read(tonumber(a), tonumber(b))
    -- What a consumer has in hand is not taken away: a leased message is looked at again later.
    if m and not endForAll(m, 'expired') then call('ZADD', TIMES, int(now + 1000), what) end
    return
  end
  local g = groupById(tonumber(a))
  local d = g and find(g, tonumber(b))
  if not d then return end
  if kind == 'l' and d.state == 'l' then
    endLease(g, d)
    -- No failure of the message, but a hand-out that led to nothing.
    fail(g, d, 'its lease ran out', 0)
  elseif kind == 'r' and d.state == 'r' then
    putBack(g, d)
  end
end

-- Deliveries of a deleted group first, then the messages that only it had still to settle.
local function clearGroup(field, job)
  local left = PER_SWEEP
  if job.scan ~= '' then
    local page = call('HSCAN', WORK, job.scan, 'MATCH', int(job.id) .. '|*', 'COUNT', PER_SWEEP)
    for i = 1, #page[2], 2 do
      local d = cmsgpack.unpack(page[2][i + 1])
      unindex(job, d)
      call('HDEL', WORK, page[2][i])
      if d.key ~= '' then call('HDEL', HEADS, headField(job, d.key)) end
      if d.tgt > 0 or #groups() > 0 then release(job, d, 'dropped') end
    end
    job.scan = page[1] == '0' and '' or page[1]
    left = job.scan == '' and left or 0
  end
  for lane = 0, 3 do
    while left > 0 do
      local found = call('XRANGE', laneKey(lane), id(job.c[lane + 1]), id(job.stop - 1), 'COUNT', math.min(left, 32))
      for _, entry in ipairs(found) do
        local m = parse(lane, entry)
        left = left - 1
        job.c[lane + 1] = m.place + 1
        if m.tgt == job.id or (m.tgt == 0 and #groups() > 0) then release(job, m, 'dropped') end
      end
      if #found == 0 then break end
    end
  end
  dirty[job] = nil
  if left > 0 then
    call('HDEL', GROUPS, field)
    M.jobs = M.jobs - 1
  else
    call('HSET', GROUPS, field, cmsgpack.pack(job))
  end
end

local function sweep()
  for _, seq in ipairs(call('ZRANGEBYSCORE', DELAYED_AT, '-inf', int(now), 'LIMIT', 0, PER_SWEEP)) do
    call('ZREM', DELAYED_AT, seq)
    promote(tonumber(seq))
  end
  for _, what in ipairs(call('ZRANGEBYSCORE', TIMES, '-inf', int(now), 'LIMIT', 0, PER_SWEEP)) do
    if call('ZREM', TIMES, what) == 1 then meet(what) end
  end
  local over = call('ZRANGEBYSCORE', WINDOWS, '-inf', int(now), 'LIMIT', 0, PER_SWEEP)
  behind = #over == PER_SWEEP
  if #over > 0 then
    call('ZREM', WINDOWS, unpack(over))
    call('HDEL', ONCE, unpack(over))
  end
  if M.jobs > 0 then
    local flat = call('HGETALL', GROUPS)
    for i = 1, #flat, 2 do
      if string.sub(flat[i], 1, 2) == 'x:' then
        clearGroup(flat[i], cmsgpack.unpack(flat[i + 1]))
        break
      end
    end
  end
  flushStreams()
end
`;
