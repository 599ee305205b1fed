import { changing } from "./frame.ts";

export const createGroup: string = changing(`
local function run()
  if group(C.group) then return {'counted', 0} end
  if createGroup(C.group, C.latest) then return {'counted', 1} end
  return {'no-group', C.group}
end
`);

/** Out of reach at once; what it had still to settle is cleared in bounded steps by whatever script comes next. */
export const deleteGroup: string = changing(`
local function run()
  local g = group(C.group)
  if not g then return {'no-group', C.group} end
  setWaiting(g, '')
  flushStreams()
  for lane = 0, 3 do call('XGROUP', 'DESTROY', laneKey(lane), g.name) end
  call('HDEL', GROUPS, 'g:' .. g.name)
  for i, other in ipairs(groups()) do
    if other == g then table.remove(list, i) end
  end
  dirty[g] = nil
  g.stop, g.scan = M.next, '0'
  call('HSET', GROUPS, 'x:' .. int(g.id), cmsgpack.pack(g))
  M.jobs = M.jobs + 1
  return {'counted', 1}
end
`);

/**
 * Rule Q3: what the consumer holds is handed out again at once. What it may have begun counts as a failure, for that may be why the consumer is gone; the
 * rest is given back unharmed. Of more than one script looks at, those that may have been begun stay for the last.
 */
export const consumerGone: string = changing(`
local consumer = C.consumer == '' and '(none)' or C.consumer
local function heldOf(g)
  local held, isWhole, isAll = {}, {}, true
  for lane = 0, 3 do
    local entries = call('XPENDING', laneKey(lane), g.name, '-', '+', PER_COMMAND, consumer)
    isWhole[lane] = #entries < PER_COMMAND
    isAll = isAll and isWhole[lane]
    for _, entry in ipairs(entries) do
      local m = read(lane, tonumber(string.match(entry[1], '^%d+')))
      local d = m and find(g, m.seq)
      if d and d.state == 'l' and d.con == C.consumer then held[#held + 1] = d end
    end
  end
  return held, isWhole, isAll
end
-- Those of before hand-outs had an order have none, and are older.
local function isOlder(a, b)
  if (a.ord or 0) ~= (b.ord or 0) then return (a.ord or 0) < (b.ord or 0) end
  return a.seq < b.seq
end
local function run()
  local count = 0
  for _, g in ipairs(groups()) do
    local held, isWhole, isAll = heldOf(g)
    -- Null = the consumer never said what it began.
    local begun = type(C.begun) == 'number' and C.begun or #held
    table.sort(held, isOlder)
    if begun >= #held then isAll = true end
    for at, d in ipairs(held) do
      if at > begun then
        endLease(g, d)
        giveBack(g, d)
        count = count + 1
      elseif isAll then
        endLease(g, d)
        d.del = d.del + 1
        fail(g, d, 'its consumer was lost', 0)
        count = count + 1
      end
    end
    flushStreams()
    -- Redis would remember every consumer that ever was.
    for lane = 0, 3 do
      if isAll and isWhole[lane] then call('XGROUP', 'DELCONSUMER', laneKey(lane), g.name, consumer) end
    end
  end
  return {'counted', count}
end
`);

/**
 * Removes up to so many messages that no group has leased; who gets that number asks again. Looks at no more of them than one script may, leased ones
 * included, and says behind which lane and place it has to go on for the rest.
 */
export const purge: string = changing(`
local function purgeDead()
  local names = call('ZRANGE', DEAD_AT, 0, PER_COMMAND - 1)
  if #names == 0 then return {'counted', 0, {}} end
  local ids = {}
  for i, name in ipairs(names) do ids[i] = string.match(name, '%d+$') .. '-0' end
  call('XDEL', DLQ, unpack(ids))
  call('ZREM', DEAD_AT, unpack(names))
  M.dead = M.dead - #names
  return {'counted', #names, {}}
end
local function run()
  if C.dead then return purgeDead() end
  local count = 0
  for _, seq in ipairs(call('ZRANGE', DELAYED_AT, 0, PER_COMMAND - 1)) do
    local m = cmsgpack.unpack(call('HGET', DELAYED, int(tonumber(seq))))
    call('ZREM', DELAYED_AT, seq)
    call('HDEL', DELAYED, int(m.seq))
    M.delayed = M.delayed - 1
    M.messages = M.messages - 1
    M.bytes = M.bytes - #m.body
    count = count + 1
  end
  if count > 0 then
    left('purged', count)
    for _, g in ipairs(groups()) do
      g.purged = g.purged + count
      touch(g)
    end
  end
  local seen = 0
  for lane = C.after[1], 3 do
    local from, ended = lane == C.after[1] and C.after[2] or 0, false
    while not ended and count < PER_COMMAND do
      if seen >= LOOKED_AT then return {'counted', count, {lane, from}} end
      local found = call('XRANGE', laneKey(lane), id(from), '+', 'COUNT', 32)
      ended = #found < 32
      seen = seen + #found
      for _, entry in ipairs(found) do
        local m = parse(lane, entry)
        from = m.place + 1
        if count < PER_COMMAND and endForAll(m, 'purged') then count = count + 1 end
      end
    end
  end
  return {'counted', count, {}}
end
`);

/**
 * Dead letters become messages again, under new numbers; with several groups each goes only to the group it died in. It stops where the queue is full, and
 * is refused where not even the first fits.
 */
export const redrive: string = changing(`
local function again(name)
  local entry = call('XRANGE', DLQ, string.match(name, '%d+$') .. '-0', string.match(name, '%d+$') .. '-0')[1]
  local f = entry and entry[2]
  local body = f and f[22]
  local full = body and fullFor(1, #body)
  if full then return 0, full end
  call('ZREM', DEAD_AT, name)
  M.dead = M.dead - 1
  if not entry then return 0 end
  call('XDEL', DLQ, entry[1])
  local g = group(f[4])
  local target = g and #groups() > 1 and g.id or 0
  M.messages = M.messages + 1
  M.bytes = M.bytes + #body
  if target == 0 then M.produced = M.produced + 1
  else
    M.targeted = M.targeted + 1
    M.returned = M.returned + 1
    g.redriven = g.redriven + 1
    touch(g)
  end
  local exp = D.ttlMs > 0 and now + D.ttlMs or 0
  enqueue({seq = M.next, pri = tonumber(f[14]), at = tonumber(f[16]), exp = exp, tgt = target, key = f[18], headers = f[20], body = body})
  return #body
end
local function run()
  meetHistory()
  local names = {}
  local most = math.min(#C.sequences > 0 and PER_COMMAND or C.limit, PER_COMMAND)
  if #C.sequences == 0 then
    if most > 0 then names = call('ZRANGE', DEAD_AT, 0, most - 1) end
  else
    local seen = {}
    for _, seq in ipairs(C.sequences) do
      if not seen[seq] then
        seen[seq] = true
        for _, name in ipairs(call('ZRANGEBYLEX', DEAD_AT, '[' .. pad(seq) .. '|', '(' .. pad(seq) .. '|~')) do names[#names + 1] = name end
      end
    end
  end
  local count, bytes = 0, 0
  for _, name in ipairs(names) do
    if count >= most or bytes >= REDRIVEN_BYTES then break end
    local size, full = again(name)
    if full and count == 0 then return full end
    if full then break end
    bytes = bytes + size
    count = count + 1
  end
  return {'counted', count}
end
`);

/**
 * The sweep that every script begins with, and nothing else. Names the groups that may have something although nobody waits to be told: a
 * message of the publishing that was lost is made up for here.
 */
export const pump: string = changing(`
local function run()
  local names = {}
  for _, g in ipairs(groups()) do
    if g.waiting == '' and owed(g) > 0 then names[#names + 1] = g.name end
    if C.tidy then
      for lane = 0, 3 do
        -- Consumers that nobody said were gone: an hour without a word, and nothing in hand.
        for _, about in ipairs(call('XINFO', 'CONSUMERS', laneKey(lane), g.name)) do
          if about[4] == 0 and about[6] > 3600000 and about[2] ~= WAITING then call('XGROUP', 'DELCONSUMER', laneKey(lane), g.name, about[2]) end
        end
      end
    end
  end
  return {'pumped', names}
end
`);

/** The queue is gone for good: for some days a mark stays, so that a node that has not heard of it does not bring it back. */
export const drop: string = changing(`
local function run()
  call('UNLINK', unpack(KEYS))
  for _, name in ipairs(COUNTERS) do M[name], before[name] = 0, 0 end
  dirty, list = {}, {}
  call('HSET', META, 'queue', int(D.queue), 'gone', 1)
  call('PEXPIRE', META, 604800000)
  return {'counted', 1}
end
`);
