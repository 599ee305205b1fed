/**
 * What every script begins with: the keys of one partition, its counters and groups, and the stream operations that are done at the end.
 * A message is a stream entry `<place>-0` of its lane; a group's cursor is that of the Redis group of the same name, a lease an entry of
 * its pending list. What Redis does not keep there (counters, busy keys, retry times) lies beside it, in the partition's other keys.
 *
 * Numbers reach commands through `int`: Lua would write large ones as 1e+15.
 */
export const base = `
local D = cjson.decode(ARGV[1])
local C = cjson.decode(ARGV[2])
local META, DELAYED_AT, DELAYED, ONCE, WINDOWS, DLQ, DEAD_AT = KEYS[1], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local GROUPS, WORK, AGAIN, PARKED, HEADS, TIMES = KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local call = redis.call
local function int(n) return string.format('%.0f', n) end
local function pad(n) return string.format('%016.0f', n) end
local function laneKey(lane) return KEYS[lane + 2] end
local function id(place) return int(place) .. '-0' end

-- The time of the server decides, never that of a node; after a fail-over to a slower clock it stands still.
local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local COUNTERS = {'queue', 'gone', 'now', 'next', 'produced', 'messages', 'bytes', 'delayed', 'targeted', 'dead', 'deaths', 'nextGroup',
  'returned', 'acked', 'died', 'expired', 'purged', 'dropped', 'waiting', 'keyedLow', 'tokens', 'tokensAt', 'jobs', 'base'}
local M, before = {}, {}
do
  local values = call('HMGET', META, 'history', unpack(COUNTERS))
  M.history = values[1]
  for i, name in ipairs(COUNTERS) do
    M[name] = tonumber(values[i + 1] or 0)
    before[name] = M[name]
  end
end
if M.now > now then now = M.now end

-- A server that goes on without the last steps of the one before, after a fail-over or a restart, begins a history of its own, under a name of
-- its own. What is lost had numbers: no message and no hand-out gets one of them again (docs/decisions/0032-histories-of-redis.md). So numbers
-- go on at the microseconds of the time, as no partition gets a million messages a second. Where the clock is behind what the data knows, all
-- successors know the same: each goes on at a distance of its own. A user that may not ask goes without, which is noted as well.
local function meetHistory()
  local about = redis.pcall('INFO', 'replication')
  local name = type(about) == 'string' and string.match(about, 'master_replid:(%x+)') or ''
  if name == M.history or (name == '' and M.history) then return end
  if M.history then
    local time = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
    local known = math.max(M.next, now * 1000)
    M.base = time >= known and time or known + tonumber(string.sub(name, 1, 8), 16)
    M.next = M.base
  end
  M.history = name
  call('HSET', META, 'history', name, 'base', int(M.base), 'next', int(M.next))
end
-- What a receipt names beside message and hand-out: the group, and from the second history on in which of them it was handed out.
local function incarnation(g) return M.base + g.id end

local GROUP_LIMIT, HAND_OUT_BYTES, PASSED, PER_SWEEP, PER_COMMAND, LOOKED_AT, REDRIVEN_BYTES = 64, 786432, 1024, 256, 1024, 4096, 4194304
local WAITING = '(waiting)'

local list = nil
local dirty = {}
local function groups()
  if list then return list end
  list = {}
  local flat = call('HGETALL', GROUPS)
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 'g:' then
      local g = cmsgpack.unpack(flat[i + 1])
      g.name = string.sub(flat[i], 3)
      list[#list + 1] = g
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end
local function group(name)
  for _, g in ipairs(groups()) do
    if g.name == name then return g end
  end
end
local function groupById(number)
  for _, g in ipairs(groups()) do
    if g.id == number then return g end
  end
end
local function touch(g) dirty[g] = true end

-- The refusal where so many messages with so many bytes do not fit.
local function fullFor(count, bytes)
  if D.maxMessages > 0 and M.messages + count > D.maxMessages then return {'queue-full', 'messages', D.maxMessages} end
  if D.maxBytes > 0 and M.bytes + bytes > D.maxBytes then return {'queue-full', 'bytes', D.maxBytes} end
end

-- Messages that a group has still to be handed, parked and postponed ones included, delayed ones apart.
local function owed(g)
  return g.found + M.produced - g.before + g.redriven - g.settled - g.dead - g.expired - g.purged - g.leased - M.delayed
end

local function createGroup(name, latest)
  if #groups() >= GROUP_LIMIT then return nil end
  local from = latest and M.next or 0
  local found = latest and M.delayed or M.messages - M.targeted
  local g = {id = M.nextGroup, name = name, c = {from, from, from, from}, leased = 0, grants = 0, waiting = '', found = found,
    before = M.produced, redriven = 0, settled = 0, dead = 0, expired = 0, purged = 0}
  M.nextGroup = M.nextGroup + 1
  for lane = 0, 3 do
    local start = from > 0 and id(from - 1) or '0-0'
    local made = redis.pcall('XGROUP', 'CREATE', laneKey(lane), name, start, 'MKSTREAM')
    if made.err then
      -- BUSYGROUP: one that somebody made by hand, and that is not known here.
      call('XGROUP', 'DESTROY', laneKey(lane), name)
      call('XGROUP', 'CREATE', laneKey(lane), name, start, 'MKSTREAM')
    end
  end
  list[#list + 1] = g
  table.sort(list, function(a, b) return a.name < b.name end)
  touch(g)
  return g
end

local function setWaiting(g, what)
  if g.waiting == what then return end
  if g.waiting == '' then M.waiting = M.waiting + 1 end
  if what == '' then M.waiting = M.waiting - 1 end
  g.waiting = what
  touch(g)
end
-- What the group waits for is there: its consumers are told once, on every node. A hint, which the pump makes up for: it must not stop a script
-- half-way because the user of Redis may not publish here, for what the script has done until then stays.
local function wake(g, what)
  if g.waiting ~= what then return end
  setWaiting(g, '')
  redis.pcall('PUBLISH', C.channel, int(D.queue) .. '|' .. int(C.partition) .. '|' .. g.name)
end

-- Reads of the lanes by one group, then changes of owners, then acknowledgements, then removals: done in this order at the end.
local taken, reader, claims, acks, removals = {0, 0, 0, 0}, nil, {}, {}, {}
local function claim(g, lane, place, owner, count) claims[#claims + 1] = {lane, g.name, owner == '' and '(none)' or owner, place, count} end
local function ack(g, lane, place)
  local at = int(lane) .. g.name
  if not acks[at] then acks[at] = {laneKey(lane), g.name} end
  table.insert(acks[at], id(place))
end
local function removeEntry(lane, place)
  if not removals[lane] then removals[lane] = {laneKey(lane)} end
  table.insert(removals[lane], id(place))
end
local function flushStreams()
  for lane = 0, 3 do
    if taken[lane + 1] > 0 then
      call('XREADGROUP', 'GROUP', reader[1], reader[2], 'COUNT', taken[lane + 1], 'STREAMS', laneKey(lane), '>')
    end
  end
  for _, c in ipairs(claims) do
    call('XCLAIM', laneKey(c[1]), c[2], c[3], 0, id(c[4]), 'RETRYCOUNT', int(c[5]), 'JUSTID')
  end
  for _, arguments in pairs(acks) do call('XACK', unpack(arguments)) end
  for _, arguments in pairs(removals) do call('XDEL', unpack(arguments)) end
  taken, claims, acks, removals = {0, 0, 0, 0}, {}, {}, {}
end

local function store()
  flushStreams()
  for g in pairs(dirty) do
    local name = g.name
    g.name = nil
    call('HSET', GROUPS, 'g:' .. name, cmsgpack.pack(g))
    g.name = name
  end
  dirty = {}
  local changed = {}
  for _, name in ipairs(COUNTERS) do
    if M[name] ~= before[name] then
      changed[#changed + 1] = name
      changed[#changed + 1] = int(M[name])
    end
  end
  if #changed > 0 or C.confirmed then call('HSET', META, 'now', int(now), unpack(changed)) end
end

-- More is over than one sweep clears.
local behind = false
-- Milliseconds until the pump has something to do here; -1 = nothing is known.
local function dueIn()
  if M.jobs > 0 or behind then return 0 end
  local due = -1
  for _, key in ipairs({DELAYED_AT, TIMES}) do
    local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if first[2] then
      local left = math.max(0, tonumber(first[2]) - now)
      if due < 0 or left < due then due = left end
    end
  end
  return due
end
`;
