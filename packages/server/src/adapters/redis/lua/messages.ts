/** Messages in their lanes, and what a group knows of those behind its cursor: leased (l), again (a), parked (p), later (r). */
export const messages = `
local function parse(lane, entry)
  local f = entry[2]
  return {lane = lane, place = tonumber(string.match(entry[1], '^%d+')), seq = tonumber(f[2]), at = tonumber(f[4]), exp = tonumber(f[6]),
    pri = tonumber(f[8]), tgt = tonumber(f[10]), key = f[12], headers = f[14], body = f[16], size = #f[16],
    weight = #f[12] + #f[14] + #f[16] + 32}
end
local function read(lane, place)
  local found = call('XRANGE', laneKey(lane), id(place), id(place))
  if found[1] then return parse(lane, found[1]) end
end
local function member(lane, place) return 'e|' .. int(lane) .. '|' .. int(place) end

local function lowLanes(key)
  local counts = {0, 0, 0}
  local kept = M.keyedLow > 0 and call('HGET', HEADS, 'n|' .. key)
  if kept then counts = cmsgpack.unpack(kept) end
  return counts
end
-- Messages of one key must not overtake each other by priority (rule Q1): they join those of the key in a lower lane.
local function laneOf(key, priority)
  if key == '' or (priority == 0 and M.keyedLow == 0) then return priority end
  local counts = lowLanes(key)
  local lane = priority
  for low = 1, 3 do
    if counts[low] > 0 and low > lane then lane = low end
  end
  if lane == 0 then return lane end
  counts[lane] = counts[lane] + 1
  call('HSET', HEADS, 'n|' .. key, cmsgpack.pack(counts))
  M.keyedLow = M.keyedLow + 1
  return lane
end
local function leaveLane(key, lane)
  local counts = lowLanes(key)
  counts[lane] = counts[lane] - 1
  if counts[1] + counts[2] + counts[3] > 0 then call('HSET', HEADS, 'n|' .. key, cmsgpack.pack(counts))
  else call('HDEL', HEADS, 'n|' .. key) end
  M.keyedLow = M.keyedLow - 1
end

-- A message becomes ready: it takes the next place of its lane. One entry, whatever the number of groups.
local function enqueue(m)
  local place = M.next
  M.next = place + 1
  local lane = laneOf(m.key, m.pri)
  call('XADD', laneKey(lane), id(place), 'seq', int(m.seq), 'at', int(m.at), 'exp', int(m.exp), 'pri', int(m.pri), 'for', int(m.tgt),
    'key', m.key, 'headers', m.headers, 'body', m.body)
  if m.exp > 0 then call('ZADD', TIMES, int(m.exp), member(lane, place)) end
  if M.waiting == 0 then return end
  for _, g in ipairs(groups()) do
    if m.tgt == 0 or m.tgt == g.id then wake(g, 'messages') end
  end
end

-- How messages left, by the ending of the last group that needed them: conservation.
local LEFT = {settled = 'acked', dead = 'died', expired = 'expired', purged = 'purged', dropped = 'dropped'}
local function left(ending, count) M[LEFT[ending]] = M[LEFT[ending]] + count end
-- The message is no one's any more.
local function remove(m, ending)
  left(ending, 1)
  removeEntry(m.lane, m.place)
  if m.exp > 0 then call('ZREM', TIMES, member(m.lane, m.place)) end
  M.messages = M.messages - 1
  M.bytes = M.bytes - m.size
  if m.tgt > 0 then M.targeted = M.targeted - 1 end
  if m.key ~= '' and m.lane > 0 then leaveLane(m.key, m.lane) end
end

local function named(g, seq) return int(g.id) .. '|' .. int(seq) end
local function known(g, seq) return call('HEXISTS', WORK, named(g, seq)) == 1 end
local function find(g, seq)
  local kept = call('HGET', WORK, named(g, seq))
  if kept then return cmsgpack.unpack(kept) end
end
local function put(g, d) call('HSET', WORK, named(g, d.seq), cmsgpack.pack(d)) end

-- Rule Q2: a group is done with the message; its body goes when no other group needs it.
local function release(g, m, ending)
  if m.tgt == 0 then
    for _, other in ipairs(groups()) do
      if other ~= g and (other.c[m.lane + 1] <= m.place or known(other, m.seq)) then return end
    end
  end
  remove(m, ending)
end

local function againMember(g, d) return int(g.id) .. '|' .. int(d.lane) .. '|' .. pad(d.place) .. '|' .. int(d.seq) end
local function parkedPrefix(g, key) return int(g.id) .. '|' .. #key .. '|' .. key .. '|' end
local function headField(g, key) return 'h|' .. int(g.id) .. '|' .. key end
local function headOf(g, key) return tonumber(call('HGET', HEADS, headField(g, key)) or 0) end

local function endLease(g, d)
  call('ZREM', TIMES, 'l|' .. named(g, d.seq))
  d.con = ''
  g.leased = g.leased - 1
  touch(g)
  wake(g, 'leases')
end
-- To be handed out (again), at its old place.
local function putBack(g, d)
  d.state = 'a'
  put(g, d)
  call('ZADD', AGAIN, 0, againMember(g, d))
  claim(g, d.lane, d.place, WAITING, d.acq)
  wake(g, 'messages')
end
-- Unharmed: nothing of it counts.
local function giveBack(g, d)
  d.rel = (d.rel or 0) + 1
  putBack(g, d)
end
-- Hand-outs that led to nothing.
local function spent(d) return d.acq - (d.rel or 0) end
-- To be handed out again at a time; its key stays busy (rule Q1).
local function putOff(g, d, at)
  d.state = 'r'
  put(g, d)
  call('ZADD', TIMES, int(at), 'r|' .. named(g, d.seq))
  claim(g, d.lane, d.place, WAITING, d.acq)
end
local function park(g, d)
  d.state = 'p'
  put(g, d)
  call('ZADD', PARKED, 0, parkedPrefix(g, d.key) .. pad(d.place) .. '|' .. int(d.seq))
  claim(g, d.lane, d.place, WAITING, d.acq)
end
-- Takes it out of the set that its state names; the record stays.
local function unindex(g, d)
  if d.state == 'l' then endLease(g, d)
  elseif d.state == 'a' then call('ZREM', AGAIN, againMember(g, d))
  elseif d.state == 'p' then call('ZREM', PARKED, parkedPrefix(g, d.key) .. pad(d.place) .. '|' .. int(d.seq))
  else call('ZREM', TIMES, 'r|' .. named(g, d.seq)) end
end
-- The oldest message parked behind the key becomes its head.
local function freeKey(g, d)
  if d.key == '' or headOf(g, d.key) ~= d.seq then return end
  local prefix = parkedPrefix(g, d.key)
  local first = call('ZRANGEBYLEX', PARKED, '[' .. prefix, '(' .. prefix .. '~', 'LIMIT', 0, 1)[1]
  if not first then
    call('HDEL', HEADS, headField(g, d.key))
    return
  end
  local freed = find(g, tonumber(string.match(first, '%d+$')))
  unindex(g, freed)
  call('HSET', HEADS, headField(g, d.key), int(freed.seq))
  putBack(g, freed)
end
-- The group is done with it; the body is the caller's to keep or release.
local function forget(g, d, ending)
  call('HDEL', WORK, named(g, d.seq))
  g[ending] = g[ending] + 1
  touch(g)
  ack(g, d.lane, d.place)
  freeKey(g, d)
end
local function finish(g, d, ending)
  forget(g, d, ending)
  release(g, d, ending)
end

-- Dead letters move with their history, in the step that ends their last chance (rule Q2).
local function bury(g, d, reason)
  local m = read(d.lane, d.place)
  if m then
    M.deaths = M.deaths + 1
    M.dead = M.dead + 1
    call('XADD', DLQ, id(M.deaths), 'seq', int(d.seq), 'group', g.name, 'reason', reason, 'acquired', int(d.acq), 'deliveries', int(d.del),
      'died', int(now), 'pri', int(m.pri), 'at', int(m.at), 'key', m.key, 'headers', m.headers, 'body', m.body)
    call('ZADD', DEAD_AT, 0, pad(d.seq) .. '|' .. string.format('%08.0f', g.id) .. '|' .. int(M.deaths))
  end
  finish(g, d, 'dead')
end
local function fail(g, d, reason, delay)
  if (D.maxAcquired > 0 and spent(d) >= D.maxAcquired) or (D.maxDeliveries > 0 and d.del >= D.maxDeliveries) then
    return bury(g, d, reason)
  end
  if delay > 0 then putOff(g, d, now + delay) else putBack(g, d) end
end

-- Ends a message for all groups at once; false, and nothing happens, when one has it leased.
local function endForAll(m, ending)
  local knowing = {}
  for i, g in ipairs(groups()) do
    local d = find(g, m.seq)
    if d and d.state == 'l' then return false end
    knowing[i] = d or false
  end
  for i, g in ipairs(groups()) do
    local d = knowing[i]
    if d then
      unindex(g, d)
      forget(g, d, ending)
    elseif g.c[m.lane + 1] <= m.place and (m.tgt == 0 or m.tgt == g.id) then
      g[ending] = g[ending] + 1
      touch(g)
    end
  end
  remove(m, ending)
  return true
end
`;
