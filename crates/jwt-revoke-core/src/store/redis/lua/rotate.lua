-- rotate.lua: exchange a refresh token for its successor, at most once. It says in Lua what
-- `rotate` in session/rotate.rs says in Rust, row by row; a test drives both.
--   KEYS[7]    the session's record
--   KEYS[8]    the session's entry
--   KEYS[9]    the user's entry
--   KEYS[10..] the other entries that can cover the token
--   ARGV[10]   "rotate", or "look" to write nothing
--   ARGV[11]   sid              ARGV[12]  digest of KEYS[8]    ARGV[13]  digest of KEYS[9]
--   ARGV[14]   when the session was opened
--   presented  ARGV[15]  generation     ARGV[16]  jti, packed     ARGV[17]  client
--   ARGV[18]   attempt, packed
--   proposal   ARGV[19]  refresh jti    ARGV[20]  access jti, both packed
--              ARGV[21]  access lifetime, ms
--   policy     ARGV[22]  grace, ms      ARGV[23]  "user" | "session" | "refuse"
--              ARGV[24]  idle lifetime, ms
--   ARGV[25]   sub, for the audit stream
--   returns    {"ok", now, outcome, {g, r, a} of the pair or {}, {digest, cutoff, life of entries written}}
--              | {"lost"} | {"healing"} | {"layout", the layout found}
--
-- A token that is not the live one is decided in reuse.lua, which stands at the end: what rotates does
-- not get there, and does not pay for it.
--
-- A script, not MULTI, because the write depends on the read: of two clients racing with one token
-- exactly one may win (RFC 9700 §4.14.2). Row 1, a presenter that is not the client, is decided
-- before anything is sent.

local shard, held = open_whole()
if not shard then
  return held
end
local sid, attempt = ARGV[11], ARGV[18]
local now = shard.now

local FOUR = DIGITS .. ' ' .. DIGITS .. ' ' .. DIGITS .. ' ' .. DIGITS

local function quiet(outcome, g, r, a)
  return { 'ok', now, outcome, { g, r, a }, {} }
end

-- 2. Covered by an entry: nothing more happens.
for i = 3, #held do
  if held[i] and cutoff_of(held[i]) >= tonumber(ARGV[14]) then
    return quiet('ended')
  end
end

-- 3. No record. Another issuer's session of the same name is none.
local t, g, s, p, live, last_attempt, client, entry = unpack(
  redis.call('HMGET', KEYS[7], 't', 'g', 's', 'p', 'r', 'm', 'c', 'e'))
if not t or entry ~= ARGV[12] then
  return quiet('unknown')
end
local opened_at, last_used_at, idle_deadline, absolute_deadline = four(t)

-- 1. Another client's token.
if client ~= ARGV[17] then
  return quiet('refused')
end

-- Clocks that step back must not make a spend younger than it is.
now = math.max(now, last_used_at)

-- 4. The idle or the absolute deadline has passed.
if now >= math.min(idle_deadline, absolute_deadline) then
  return quiet('expired')
end

-- The pair that is live, as it was handed out.
local function again(outcome)
  return quiet(outcome, g, live, redis.call('HGET', KEYS[7], 'a'))
end

-- The rest of the record, or it is none of ours.
local ago = { four(s) }
local generation = string.match(g or '', '^(%d+) %d+ %d+ %d+$')
local privileges_changed_at, recovered = string.match(p or '', '^(%d+) ([01])$')
if not generation or not recovered then
  error('a record is none of ours')
end

-- 5. Our own retry of a command whose answer was lost.
if last_attempt == attempt then
  return again(recovered == '1' and 'recovered' or 'rotated')
end

-- Makes the successor of the presented token the live pair, and spends that. The latest spends were so
-- long before `now`.
local function succeed(outcome, first, second, third)
  local idle = math.min(now + ARGV[24], absolute_deadline)
  -- Access ends with the session, whatever its own lifetime.
  local access = math.min(now + ARGV[21], absolute_deadline)
  -- The dates of tokens are whole seconds.
  local pair = string.format(FOUR, ARGV[15] + 1, now - now % 1000, idle - idle % 1000,
    access - access % 1000)
  if ARGV[10] == 'rotate' then
    redis.call('HSET', KEYS[7],
      't', string.format(FOUR, opened_at, now, idle, absolute_deadline),
      'g', pair, 's', string.format(FOUR, 0, first, second, third),
      'p', privileges_changed_at .. (outcome == 'recovered' and ' 1' or ' 0'),
      'r', ARGV[19], 'a', ARGV[20], 'v', ARGV[16], 'm', attempt)
    keep(KEYS[7], idle, shard.now, sid, opened_at)
  end
  return quiet(outcome, pair, ARGV[19], ARGV[20])
end

-- How long ago the latest four spends were.
for i = 1, 4 do
  ago[i] = now - last_used_at + ago[i]
end
local age = generation - ARGV[15]

-- 6. The current one.
if age == 0 and live == ARGV[16] then
  return succeed('rotated', ago[1], ago[2], ago[3])
end

-- 10. Later than the record knows: the store lost writes. Nobody knows when the generations between
-- were spent, so as of now: an honest retry of one is not a theft.
if age < 0 then
  for i = 4, 1, -1 do
    ago[i] = i <= -age and 0 or ago[i + age]
  end
  return succeed('recovered', ago[1], ago[2], ago[3])
end
