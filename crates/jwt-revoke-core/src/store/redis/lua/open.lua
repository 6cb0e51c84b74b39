-- open.lua: open a session.
--   KEYS[7]    its record
--   KEYS[8]    its entry
--   KEYS[9]    the user's entry
--   KEYS[10..] the entries that can cover it
--   ARGV[10]   sid              ARGV[11]  when it is opened
--   ARGV[12]   when the login began
--   ARGV[13]   the most sessions of a user, 0 for no bound
--   ARGV[14]   "evict" | "refuse", when the user has as many
--   ARGV[15]   how far behind now it may be opened, ms
--   ARGV[16]   attempt, packed, or ""      ARGV[17]  idle deadline
--   ARGV[18]   the device's label, or ""
--   ARGV[19..] the other fields of the record, each with its value
--   returns    {"ok", now, "opened", {sids ended}, {digest, cutoff, life of entries written}}
--              | {"ok", now, "stale" | "full"} | {"ok", now, "revoked", index, from 0}
--              | {"ok", now, "open_at", an instant}
--              | {"lost"} | {"healing"} | {"layout", the layout found}

local PRUNED = 100 -- how many sessions that are dead one call clears away

local shard, answer = open_whole()
if not shard then
  return answer
end
local now, sid, opened_at = shard.now, ARGV[10], tonumber(ARGV[11])

-- What was checked before a cutoff may hold no more, and no session is born dead.
local entries = redis.call('MGET', unpack(KEYS, 8))
local highest = 0
for i = 3, #entries do
  if entries[i] == '*' then
    return { 'ok', now, 'revoked', i - 3 }
  end
  highest = math.max(highest, cutoff_of(entries[i]))
end
if highest > 0 and highest >= tonumber(ARGV[12]) then
  return { 'ok', now, 'stale' }
end
if (highest > 0 and highest >= opened_at) or opened_at > now + AHEAD or opened_at + tonumber(ARGV[15]) < now then
  return { 'ok', now, 'open_at', whole(math.max(now, highest + 1)) }
end

-- Our own retry of a command whose answer was lost. Another's session is never written over, and
-- one that has ended is never opened again.
local held = read(KEYS[7])
if held and held.attempt and held.attempt == ARGV[16] then
  return { 'ok', now, 'opened', {}, {} }
end
if held or entries[1] then
  return { 'ok', now, 'open_at', whole(math.max(now, highest + 1)) }
end

-- Which sessions the user has: the first are those that a cutoff covers. Dead members are dropped.
local cutoff = cutoff_of(entries[2])
local covered = string.format('%.0f', math.min(cutoff, 2 ^ 53))
local dead = redis.call('ZRANGEBYSCORE', INDEX, '-inf', covered, 'LIMIT', 0, PRUNED)
local live = {}
local function look(member)
  local record = read(ARGV[7] .. member)
  if record and not is_expired(record, math.max(now, record.last_used_at)) then
    live[#live + 1] = { sid = member, entry = record.entry }
  else
    dead[#dead + 1] = member
  end
end
local limit, evicted = tonumber(ARGV[13]), 0
local count = redis.call('ZCOUNT', INDEX, '(' .. covered, '+inf')
if limit == 0 then
  for _, member in ipairs(redis.call('ZRANDMEMBER', INDEX, 10)) do
    look(member)
  end
elseif count >= limit then
  local members = redis.call('ZRANGEBYSCORE', INDEX, '(' .. covered, '+inf', 'LIMIT', 0, limit + PRUNED)
  for _, member in ipairs(members) do
    look(member)
  end
  evicted = math.max(count - #members + #live - limit + 1, 0)
  if evicted > 0 and ARGV[14] == 'refuse' then
    return { 'ok', now, 'full' }
  end
end
for i = 1, math.min(evicted, #live) do
  redis.call('EXISTS', ARGV[8] .. live[i].entry)
end

-- First the write that `maxmemory` can refuse.
redis.call('HSET', KEYS[7], unpack(ARGV, 19))
if ARGV[18] ~= '' then
  redis.call('HSET', KEYS[7], 'd', string.sub(ARGV[18], 1, 64))
  if #ARGV[18] > 64 then
    redis.call('HSET', KEYS[7], 'f', string.sub(ARGV[18], 65))
  end
end
redis.call('ZADD', INDEX, whole(opened_at), sid)
keep(KEYS[7], tonumber(ARGV[17]), now, sid, opened_at)
for _, member in ipairs(dead) do
  redis.call('DEL', ARGV[7] .. member)
  redis.call('ZREM', INDEX, member)
end
local ended, written = {}, {}
for i = 1, math.min(evicted, #live) do
  end_session(shard, written, live[i].sid, live[i].entry, 'evicted')
  ended[i] = live[i].sid
end
return { 'ok', now, 'opened', ended, written }
