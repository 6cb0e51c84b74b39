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
-- A script, not MULTI, because the write depends on the read: of two clients racing with one token
-- exactly one may win (RFC 9700 §4.14.2). Row 1, a presenter that is not the client, is decided
-- before anything is sent.

local shard, answer = open_whole()
if not shard then
  return answer
end
local sid, attempt = ARGV[11], ARGV[18]
local now = shard.now

local function quiet(outcome, identity)
  return { 'ok', now, outcome, identity or {}, {} }
end

-- 2. Covered by an entry: nothing more happens.
local born_at = tonumber(ARGV[14])
for _, entry in ipairs(redis.call('MGET', unpack(KEYS, 8))) do
  if entry and cutoff_of(entry) >= born_at then
    return quiet('ended')
  end
end

-- 3. No record. Another issuer's session of the same name is none.
local record = read(KEYS[7])
if not record or record.entry ~= ARGV[12] then
  return quiet('unknown')
end

-- 1. Another client's token.
if record.client ~= ARGV[17] then
  return quiet('refused')
end

-- Clocks that step back must not make a spend younger than it is.
now = math.max(now, record.last_used_at)

-- 4. The idle or the absolute deadline has passed.
if is_expired(record, now) then
  return quiet('expired')
end

-- 5. Our own retry of a command whose answer was lost.
local current = { record.raw[2], record.refresh, record.access }
if record.attempt == attempt then
  return quiet(record.recovered and 'recovered' or 'rotated', current)
end

-- Makes the successor of `refresh` the live pair, and spends that.
local function succeed(outcome, generation, refresh, spent_at)
  local idle_deadline = math.min(now + tonumber(ARGV[24]), record.absolute_deadline)
  -- Access ends with the session, whatever its own lifetime.
  local access_deadline = math.min(now + tonumber(ARGV[21]), record.absolute_deadline)
  local second = function(instant)
    return instant - instant % 1000
  end
  local g = text({ generation + 1, second(now), second(idle_deadline), second(access_deadline) })
  if ARGV[10] == 'rotate' then
    redis.call('HSET', KEYS[7],
      't', text({ record.opened_at, now, idle_deadline, record.absolute_deadline }),
      'g', g, 's', text({ 0, now - spent_at[1], now - spent_at[2], now - spent_at[3] }),
      'p', text({ record.privileges_changed_at, outcome == 'recovered' and 1 or 0 }),
      'r', ARGV[19], 'a', ARGV[20], 'v', refresh, 'm', attempt)
    keep(KEYS[7], idle_deadline, shard.now, sid, record.opened_at)
  end
  return quiet(outcome, { g, ARGV[19], ARGV[20] })
end

-- Ends the session, and with `user` all that the user has opened until now.
local function kill(outcome, cause, user)
  local written = {}
  if ARGV[10] == 'rotate' then
    end_session(shard, written, sid, ARGV[12], cause)
    if user then
      -- Tokens may be born until the cutoff, so the entry lives from there.
      local life = shard.session + now - shard.now
      revoke(shard, written, KEYS[9], ARGV[13], now, life, 'subject', ARGV[25], cause)
    end
  end
  return { 'ok', now, outcome, {}, written }
end

local generation, jti = tonumber(ARGV[15]), ARGV[16]
local age = record.generation - generation

-- 6. The current one.
if age == 0 and jti == record.refresh then
  return succeed('rotated', generation, jti, record.spent_at)
end

-- 10. Later than the record knows: the store lost writes. Nobody knows when the generations between
-- were spent, so as of now: an honest retry of one is not a theft.
if age < 0 then
  local spent_at = {}
  for i = 1, 4 do
    spent_at[i] = i <= -age and now or record.spent_at[i + age]
  end
  return succeed('recovered', generation, jti, spent_at)
end

-- 9. The current or the previous generation, and another `jti`: the line split in a failover.
if age == 0 or (age == 1 and jti ~= record.previous) then
  return kill('forked', 'fork', false)
end

-- What the record no longer remembers was spent as long ago as can be.
local spent_at = record.spent_at[age] or 0
if now - spent_at < tonumber(ARGV[22]) then
  -- 7. The previous one, a moment ago. After a privilege change a retry must bring forth no token.
  if age == 1 and record.privileges_changed_at < spent_at then
    return quiet('retried', current)
  end
  -- 8. A slow tab, not a thief.
  return quiet('superseded')
end

-- 11. A spent token came back (RFC 9700 §4.14.2).
if ARGV[23] == 'refuse' then
  return quiet('reused')
end
return kill('reused', 'reuse', ARGV[23] == 'user')
