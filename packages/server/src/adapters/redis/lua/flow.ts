import { changing } from "./frame.ts";

/** All messages or none: ids that were seen, limits, then the entries. */
export const produce: string = changing(
  `
local function knownSequence(text)
  local kept = call('HGET', ONCE, 'd|' .. text)
  if not kept then return 0 end
  local at = cmsgpack.unpack(kept)
  return at[2] > now and at[1] or 0
end
local function run()
  meetHistory()
  local wanted, ids, count, bytes = {}, {}, 0, 0
  for i, m in ipairs(C.messages) do
    local at = i * 4 - 1
    wanted[i] = {key = ARGV[at], dedup = ARGV[at + 1], headers = ARGV[at + 2], body = ARGV[at + 3], pri = m[1], delay = m[2], due = m[3], ttl = m[4]}
    local w = wanted[i]
    local isCopy = w.dedup ~= '' and (knownSequence(w.dedup) > 0 or (D.dedupeWindowMs > 0 and ids[w.dedup]))
    if not isCopy then
      ids[w.dedup] = true
      count = count + 1
      bytes = bytes + #w.body
    end
  end
  -- A full queue refuses; it never drops, so no stream here has a MAXLEN.
  if count > 0 then
    local full = fullFor(count, bytes)
    if full then return full end
  end
  local answers = {}
  for _, w in ipairs(wanted) do
    local seq = w.dedup ~= '' and knownSequence(w.dedup) or 0
    if seq > 0 then
      answers[#answers + 1] = seq
      answers[#answers + 1] = 1
    else
      seq = M.next
      local due = w.due > 0 and w.due or now + w.delay
      local ttl = w.ttl > 0 and w.ttl or D.ttlMs
      M.produced = M.produced + 1
      M.messages = M.messages + 1
      M.bytes = M.bytes + #w.body
      if w.dedup ~= '' and D.dedupeWindowMs > 0 then
        call('HSET', ONCE, 'd|' .. w.dedup, cmsgpack.pack({seq, now + D.dedupeWindowMs}))
        call('ZADD', WINDOWS, int(now + D.dedupeWindowMs), 'd|' .. w.dedup)
      end
      if due > now then
        M.next = seq + 1
        M.delayed = M.delayed + 1
        call('HSET', DELAYED, int(seq), cmsgpack.pack({seq = seq, pri = w.pri, at = now, ttl = ttl, key = w.key, headers = w.headers, body = w.body}))
        call('ZADD', DELAYED_AT, int(due), pad(seq))
      else
        enqueue({seq = seq, pri = w.pri, at = now, exp = ttl > 0 and now + ttl or 0, tgt = 0, key = w.key, headers = w.headers, body = w.body})
      end
      answers[#answers + 1] = seq
      answers[#answers + 1] = 0
    end
  end
  return {'produced', answers}
end
`,
  "refuse",
);

/** Hands out what is there, through XREADGROUP and XCLAIM. Never waits: a group that gets no `more` is told when that changes. */
export const consume: string = changing(`
local function shown(m, acquired, deliveries)
  return {m.seq, acquired, deliveries, m.key, m.pri, m.at, m.headers, m.body}
end
keep = function(answer)
  if answer[1] ~= 'handed-out' then return answer end
  local names = {}
  -- What was settled with its hand-out is not said twice: at most once.
  for _, m in ipairs(C.autoAck and {} or answer[4]) do names[#names + 1] = {m[1], m[2]} end
  return {answer[1], answer[2], answer[3], names, answer[5]}
end
-- The bodies are read again, of what is still leased by that hand-out.
revive = function(answer)
  if answer[1] ~= 'handed-out' then return answer end
  local held = {}
  local g = group(C.group)
  for _, name in ipairs(answer[4]) do
    local d = g and find(g, name[1])
    -- Of an answer that was kept by a version before, nothing tells which group of the name it was.
    local isSame = d and d.state == 'l' and d.acq == name[2] and (d.inc or g.id) == answer[5]
    local m = isSame and read(d.lane, d.place)
    if m then held[#held + 1] = shown(m, d.acq, d.del) end
  end
  if #held > 0 then return {answer[1], answer[2], answer[3], held, answer[5]} end
  -- Nothing: by a lease of 0. It had nothing then and may look on, or what it had is settled.
  local hadNothing = #answer[4] == 0 and not C.autoAck
  return {answer[1], 0, hadNothing and 1 or 0, held, 0}
end

local function run()
  meetHistory()
  local g = group(C.group) or createGroup(C.group, C.latest)
  if not g then return {'no-group', C.group} end
  local leaseMs = C.visibilityMs > 0 and C.visibilityMs or D.visibilityMs
  if D.paused then
    setWaiting(g, 'queue')
    return {'handed-out', leaseMs, 0, {}, incarnation(g)}
  end
  reader = {g.name, C.consumer == '' and '(none)' or C.consumer}
  local maxBytes = C.maxBytes > 0 and math.min(C.maxBytes, HAND_OUT_BYTES) or HAND_OUT_BYTES
  local maxLeased = D.maxLeased > 0 and math.min(D.maxLeased, 65536) or 65536
  local out, bytes, passed = {}, 0, 0
  -- Read ahead no more than fits into one answer.
  local average = M.messages > 0 and M.bytes / M.messages or 0
  local chunk = math.max(1, math.min(32, C.maxMessages + 1, math.floor(HAND_OUT_BYTES / (average + 64))))
  local fresh, freshEnded, again, againEnded = {{}, {}, {}, {}}, {}, {{}, {}, {}, {}}, {}

  local function firstAgain(lane)
    local buffer = again[lane + 1]
    if #buffer == 0 and not againEnded[lane] then
      local prefix = int(g.id) .. '|' .. int(lane) .. '|'
      for _, name in ipairs(call('ZRANGEBYLEX', AGAIN, '[' .. prefix, '(' .. prefix .. '~', 'LIMIT', 0, chunk)) do
        local place, seq = string.match(name, '|(%d+)|(%d+)$')
        buffer[#buffer + 1] = {again = true, lane = lane, place = tonumber(place), seq = tonumber(seq)}
      end
      againEnded[lane] = #buffer < chunk
    end
    return buffer[1]
  end
  local function firstFresh(lane)
    local buffer = fresh[lane + 1]
    if #buffer == 0 and not freshEnded[lane] then
      for _, entry in ipairs(call('XRANGE', laneKey(lane), id(g.c[lane + 1]), '+', 'COUNT', chunk)) do
        buffer[#buffer + 1] = parse(lane, entry)
      end
      freshEnded[lane] = #buffer < chunk
    end
    return buffer[1]
  end
  local function head(lane)
    local a, f = firstAgain(lane), firstFresh(lane)
    if not a or not f then return a or f end
    return a.place < f.place and a or f
  end
  -- The first lane that has one wins; one grant in 16 takes the oldest of all lanes (rule Q1).
  local function nextHead()
    local oldest = (g.grants + 1) % 16 == 0
    local best
    for lane = 0, 3 do
      local h = head(lane)
      if h then
        if not oldest then return h end
        if not best or h.place < best.place then best = h end
      end
    end
    return best
  end
  local function take(h)
    if h.again then
      table.remove(again[h.lane + 1], 1)
    else
      table.remove(fresh[h.lane + 1], 1)
      g.c[h.lane + 1] = h.place + 1
      taken[h.lane + 1] = taken[h.lane + 1] + 1
    end
    touch(g)
  end
  local function changed() again, againEnded = {{}, {}, {}, {}}, {} end
  local function rateAllows()
    if D.ratePerSecond == 0 then return true end
    local rate = math.min(D.ratePerSecond, 1000000000)
    M.tokens = math.min(rate * 1000, M.tokens + math.min(math.max(now - M.tokensAt, 0), 1000) * rate)
    M.tokensAt = now
    return M.tokens >= 1000
  end
  local function answer(m, acquired, deliveries)
    out[#out + 1] = shown(m, acquired, deliveries)
    bytes = bytes + m.weight
    g.grants = g.grants + 1
    if D.ratePerSecond > 0 then M.tokens = math.max(0, M.tokens - 1000) end
  end
  local function lease(d)
    d.state, d.con, d.ms = 'l', C.consumer, leaseMs
    d.acq, d.ord, d.inc = d.acq + 1, g.grants + 1, M.base > 0 and incarnation(g) or nil
    put(g, d)
    if d.key ~= '' then call('HSET', HEADS, headField(g, d.key), int(d.seq)) end
    call('ZADD', TIMES, int(now + leaseMs), 'l|' .. named(g, d.seq))
    g.leased = g.leased + 1
  end
  local function isOver(m) return m.exp > 0 and m.exp <= now end
  -- A single message larger than the limit is handed out alone.
  local function fits(m) return #out == 0 or bytes + m.weight <= maxBytes end

  local function handFresh(m)
    if m.tgt ~= 0 and m.tgt ~= g.id then
      take(m)
      ack(g, m.lane, m.place)
      passed = passed + 1
      return true
    end
    if isOver(m) then
      take(m)
      ack(g, m.lane, m.place)
      passed = passed + 1
      g.expired = g.expired + 1
      release(g, m, 'expired')
      return true
    end
    local isBusy = m.key ~= '' and headOf(g, m.key) ~= 0
    if not isBusy and not fits(m) then return false end
    take(m)
    if not isBusy and C.autoAck then
      g.settled = g.settled + 1
      ack(g, m.lane, m.place)
      release(g, m, 'settled')
      answer(m, 1, 0)
      return true
    end
    local d = {seq = m.seq, lane = m.lane, place = m.place, size = m.size, exp = m.exp, tgt = m.tgt, key = m.key, acq = 0, del = 0, con = '', ms = 0}
    if isBusy then
      passed = passed + 1
      park(g, d)
    else
      lease(d)
      answer(m, d.acq, d.del)
    end
    return true
  end
  local function handAgain(h)
    local d = find(g, h.seq)
    local used = D.maxAcquired > 0 and spent(d) >= D.maxAcquired
    if used or isOver(d) then
      unindex(g, d)
      if used then bury(g, d, 'handed out ' .. int(d.acq) .. ' times') else finish(g, d, 'expired') end
      passed = passed + 1
      changed()
      return true
    end
    local m = read(d.lane, d.place)
    if not fits(m) then return false end
    take(h)
    unindex(g, d)
    if C.autoAck then
      finish(g, d, 'settled')
      changed()
      answer(m, d.acq + 1, d.del)
    else
      lease(d)
      claim(g, d.lane, d.place, C.consumer, d.acq)
      answer(m, d.acq, d.del)
    end
    return true
  end

  local waiting = ''
  while true do
    local h = nextHead()
    if not h then
      waiting = 'messages'
      break
    end
    if #out >= C.maxMessages or passed >= PASSED then break end
    if not C.autoAck and g.leased >= maxLeased then
      waiting = 'leases'
      break
    end
    if not rateAllows() then break end
    local handed
    if h.again then handed = handAgain(h) else handed = handFresh(h) end
    if not handed then break end
  end
  touch(g)
  setWaiting(g, waiting)
  return {'handed-out', leaseMs, waiting == '' and 1 or 0, out, incarnation(g)}
end
`);

/** Each receipt is decided by itself; only the hand-out that still holds the message may settle it (XACK alone takes anyone's id). */
export const settle: string = changing(`
local function settleOne(g, receipt)
  local d = find(g, receipt[1])
  -- What a former group of the name handed out is not this one's, nor what is lost with a former server.
  if not d or receipt[3] ~= (d.inc or g.id) then return 2 end
  if d.acq ~= receipt[2] or d.state ~= 'l' then return 1 end
  if C.settlement == 'extend' then
    d.ms = C.delayMs > 0 and C.delayMs or D.visibilityMs
    put(g, d)
    call('ZADD', TIMES, int(now + d.ms), 'l|' .. named(g, d.seq))
    claim(g, d.lane, d.place, d.con, d.acq)
    return 0
  end
  endLease(g, d)
  if C.settlement == 'ack' then finish(g, d, 'settled')
  elseif C.settlement == 'nack' then
    d.del = d.del + 1
    fail(g, d, C.reason, C.delayMs >= 0 and C.delayMs or D.backoffMs * d.del)
  elseif C.settlement == 'release' then giveBack(g, d)
  else bury(g, d, C.reason) end
  return 0
end
local function run()
  local g = group(C.group)
  if not g then return {'no-group', C.group} end
  local outcomes = {}
  for i, receipt in ipairs(C.receipts) do outcomes[i] = settleOne(g, receipt) end
  return {'settled', outcomes}
end
`);
