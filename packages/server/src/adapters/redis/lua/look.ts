import { looking } from "./frame.ts";

/** Counters only, and one message of each lane: the work does not grow with the backlog. */
export const stats: string = looking(`
local function run()
  local oldest = 0
  local function look(at)
    if oldest == 0 or at < oldest then oldest = at end
  end
  for lane = 0, 3 do
    local first = call('XRANGE', laneKey(lane), '-', '+', 'COUNT', 1)[1]
    if first then look(parse(lane, first).at) end
  end
  local first = call('ZRANGE', DELAYED_AT, 0, 0)[1]
  if first then look(cmsgpack.unpack(call('HGET', DELAYED, int(tonumber(first)))).at) end
  local all = {}
  for i, g in ipairs(groups()) do all[i] = {g.name, owed(g), g.leased, g.settled, g.dead, g.expired, g.purged} end
  return {'stats', M.messages, M.bytes, M.delayed, M.dead, M.produced, oldest, all,
    {M.returned, M.acked, M.died, M.expired, M.purged, M.dropped}}
end
`);

/** What is kept of a call with an idempotency key (rule X3). */
export const recall: string = looking(`
local function run()
  local kept = call('HGET', ONCE, 'c|' .. C.caller)
  if not kept then return {'nothing'} end
  return {'kept', cmsgpack.unpack(kept).answer}
end
`);

/**
 * Messages after a place: ready ones in the order of their lanes, delayed ones by their time, dead letters by their number. Looks at no more
 * than so many, and stops when the bodies are as large as a hand-out may be.
 */
export const browse: string = looking(`
local found, bytes, left, last = {}, 0, math.min(C.limit, PER_COMMAND), ''
local function isFull() return left <= 0 or bytes >= HAND_OUT_BYTES end
local function add(m, due, exp, dead)
  bytes = bytes + #m.body
  found[#found + 1] = {m.seq, m.key, m.pri, m.headers, m.body, m.at, due, exp, dead}
end
local function isReady(m)
  if m.exp > 0 and m.exp <= now then return false end
  if #groups() == 0 then return true end
  for _, g in ipairs(groups()) do
    if m.tgt == 0 or m.tgt == g.id then
      if g.c[m.lane + 1] <= m.place then return true end
      local d = find(g, m.seq)
      if d and d.state ~= 'l' then return true end
    end
  end
  return false
end
local function ready()
  local from = C.after[2] + 1
  for lane = C.after[1], 3 do
    local ended = false
    while not ended do
      local most = math.min(32, left)
      local some = call('XRANGE', laneKey(lane), id(from), '+', 'COUNT', most)
      ended = #some < most
      for at, entry in ipairs(some) do
        local m = parse(lane, entry)
        from = m.place + 1
        left = left - 1
        if isReady(m) then add(m, 0, m.exp, {}) end
        if isFull() then
          last = int(lane) .. '.' .. int(m.place)
          return
        end
      end
    end
    from = 0
  end
end
local function delayed()
  local after, offset = C.after[1], 0
  while true do
    local names = call('ZRANGEBYSCORE', DELAYED_AT, int(math.max(after, 0)), '+inf', 'WITHSCORES', 'LIMIT', offset, 256)
    for i = 1, #names, 2 do
      local seq, due = tonumber(names[i]), tonumber(names[i + 1])
      if due > after or seq > C.after[2] then
        left = left - 1
        add(cmsgpack.unpack(call('HGET', DELAYED, int(seq))), due, 0, {})
        if isFull() then
          last = int(due) .. '.' .. int(seq)
          return
        end
      end
    end
    if #names == 0 then return end
    offset = offset + 256
  end
end
local function dead()
  local from = C.after[1] < 0 and '-' or '(' .. pad(C.after[1]) .. '|' .. string.format('%08.0f', C.after[2]) .. '|~'
  for _, name in ipairs(call('ZRANGEBYLEX', DEAD_AT, from, '+', 'LIMIT', 0, left)) do
    local seq, number, at = string.match(name, '^(%d+)|(%d+)|(%d+)$')
    local entry = call('XRANGE', DLQ, at .. '-0', at .. '-0')[1]
    left = left - 1
    if entry then
      local f = entry[2]
      add({seq = tonumber(seq), key = f[18], pri = tonumber(f[14]), headers = f[20], body = f[22], at = tonumber(f[16])}, 0, 0,
        {f[4], f[6], tonumber(f[8]), tonumber(f[10]), tonumber(f[12])})
    end
    if isFull() then
      last = int(tonumber(seq)) .. '.' .. int(tonumber(number))
      return
    end
  end
end
local function run()
  if left > 0 then
    if C.state == 'ready' then ready() elseif C.state == 'delayed' then delayed() else dead() end
  end
  return {'browsed', found, last}
end
`);
