-- open.lua: open a session.
--   KEYS[7]    its record
--   KEYS[8]    its entry
--   KEYS[9]    the user's entry
--   KEYS[10]   the entry that ended the user's other sessions
--   KEYS[11..] the entries that can cover it
--   ARGV[10]   sid              ARGV[11]  when it is opened
--   ARGV[12]   when the login began
--   ARGV[13]   the most sessions of a user, 0 for no bound
--   ARGV[14]   "evict" | "refuse", when the user has as many
--   ARGV[15]   how far behind now it may be opened, ms
--   ARGV[16]   attempt, packed, or ""      ARGV[17]  idle deadline
--   ARGV[18]   the record
--   returns    {"ok", now, "opened", {sids ended}, {digest, cutoff, life of entries written}}
--              | {"ok", now, "stale" | "full"} | {"ok", now, "revoked", index, from 0}
--              | {"ok", now, "open_at", an instant, ms until the server's clock shows that}
--              | {"lost"} | {"healing"} | {"layout", the layout found}

-- How many sessions covered by a cutoff an index may hold, and how many dead ones one call clears
-- away, so that a user who logs in and out for ever fills nothing.
local SPARE = 100

local sid, opened_at = ARGV[10], tonumber(ARGV[11])

-- What was checked before a cutoff may hold no more, and no session is born dead.
local highest = 0
for i = 8, #held do
  if held[i] == '*' then
    return { 'ok', now, 'revoked', i - 8 }
  end
  highest = math.max(highest, cutoff_of(held[i]))
end
-- Dated by the clock, and behind what covers it: what else was dated ahead, by a clock that was wrong,
-- does not concern it.
local earliest = math.max(now, highest + 1)
local function open_at()
  return { 'ok', now, 'open_at', whole(earliest), whole(earliest - now) }
end
local since, told, logged = tonumber(ARGV[12]), struct.unpack('>dd', held[1], #ARGV[1] + 2)
if highest > now + AHEAD and highest >= since then
  -- The cutoff's clock was ahead: whether the login began before it cannot be told, nor be waited for.
  return open_at()
elseif highest > 0 and highest >= since or since > math.max(instant(now, told, logged), highest) + 1 then
  -- Or the clock has run back since the login began, perhaps behind a cutoff.
  return { 'ok', now, 'stale' }
end
local covered = highest > 0 and highest >= opened_at
local latest = math.max(earliest, now + AHEAD)
if covered or opened_at > latest or opened_at < now - tonumber(ARGV[15]) then
  return open_at()
end

-- It was opened and has ended since.
if held[5] then
  return { 'ok', now, 'stale' }
end

-- Our own retry of a command whose answer was lost; another's session is never written over.
local record = known(held[4])
if record and record.attempt == ARGV[16] then
  return { 'ok', now, 'opened', {}, {} }
elseif record then
  return open_at()
end

-- How many sessions the user has: those that no cutoff covers, with a record that has not expired. An index
-- of another type is lost, and made once more.
-- What ended with the others leaves the index, all but the session that was kept. While that is under way,
-- or was cut short, which of them that is cannot be told: it counts, and does not make room.
local cutoff = whole(math.min(cutoff_of(held[6]), 2 ^ 53))
local others = whole(math.min(cutoff_of(held[7]), 2 ^ 53))
local total = redis.pcall('ZCARD', INDEX)
local other = is_other(total)
if other then
  total = 0
elseif type(total) == 'table' then
  total = redis.call('ZCARD', INDEX)
end
local from, count = cutoff, 0
if total > 0 then
  local unknown = 0
  if tonumber(others) > tonumber(cutoff) and redis.call('ZCOUNT', INDEX, '(' .. cutoff, others) > 1 then
    from, unknown = others, 1
  end
  count = redis.call('ZCOUNT', INDEX, '(' .. from, '+inf') + unknown
end
local limit, evicted, live, gone = tonumber(ARGV[13]), 0, {}, {}
local function look(member)
  local record = read_ours(ARGV[7] .. member)
  if record and not is_expired(record, now) then
    live[#live + 1] = { sid = member, entry = record.entry }
  else
    gone[#gone + 1] = member
  end
end
if limit == 0 and total > 0 then
  for _, member in ipairs(redis.call('ZRANDMEMBER', INDEX, 10)) do
    look(member)
  end
elseif limit > 0 and count >= limit then
  local members = redis.call('ZRANGEBYSCORE', INDEX, '(' .. from, '+inf', 'LIMIT', 0, limit + SPARE)
  for _, member in ipairs(members) do
    look(member)
  end
  evicted = math.max(count - #members + #live - limit + 1, 0)
  if evicted > 0 and ARGV[14] == 'refuse' then
    return { 'ok', now, 'full' }
  end
end
local covered_members = {}
if total - count > SPARE then
  covered_members = redis.call('ZRANGEBYSCORE', INDEX, '-inf', cutoff, 'LIMIT', 0, SPARE)
end
for i = 1, math.min(evicted, #live) do
  redis.call('EXISTS', ARGV[8] .. live[i].entry)
end
local shard = evicted > 0 and prepare(now)

-- First the write that `maxmemory` can refuse.
local deadline = ARGV[17] + ARGV[9]
redis.call('SET', KEYS[7], ARGV[18], 'PX', whole(math.max(deadline - now, 1)))
if other then
  redis.call('DEL', INDEX)
end
keep_index(deadline, sid, opened_at)
local meta = shard and shard.meta or read_meta(held[1])
meta.told = math.max(instant(now, meta.told, 0), opened_at)
write_meta(meta)
-- What has expired leaves the index; its record tells why for a while.
for _, member in ipairs(gone) do
  redis.call('ZREM', INDEX, member)
end
for _, member in ipairs(covered_members) do
  redis.call('DEL', ARGV[7] .. member)
  redis.call('ZREM', INDEX, member)
end
local ended, written = {}, {}
for i = 1, math.min(evicted, #live) do
  revoke_session(shard, written, live[i].sid, live[i].entry, 'evicted')
  ended[i] = live[i].sid
end
for _, member in ipairs(ended) do
  drop_session(member)
end
return { 'ok', now, 'opened', ended, written }
