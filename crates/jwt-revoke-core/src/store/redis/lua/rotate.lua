-- rotate.lua: exchange a refresh token for its successor, at most once. It says in Lua what
-- `rotate` in session/rotate.rs says in Rust, row by row; a test drives both.
--   KEYS[7]    the session's record
--   KEYS[8]    the session's entry
--   KEYS[9]    the user's entry
--   KEYS[10]   the entry that ended the user's other sessions
--   KEYS[11]   the entry of this session as a kept one: below it that of KEYS[10] does not cover
--   KEYS[12..] the other entries that can cover the token
--   the last   that reuse or a fork was found, as reuse.lua packs it
--   ARGV[10]   "rotate"; "judge" to end what a stolen token ends and rotate nothing; "look" to write
--              nothing; "finish" to write only what was found before and is not written yet
--   ARGV[11]   packed as in a record: when the session was opened; the presented generation;
--              access lifetime, grace, idle lifetime, ms; presented jti; attempt
--   ARGV[12]   as in a record: the digest of KEYS[8], client and subject of the token
--   ARGV[13]   as in a record: the proposed refresh jti and access jti
--   ARGV[14]   "user" | "session" | "refuse"
--   ARGV[15]   sub, for the audit stream
--   returns    {"ok", now, outcome} | {"ok", now, outcome, the record, for its live pair}
--              | {"ok", now, outcome, "", {digest, cutoff, life of entries written}}
--              | {"lost"} | {"healing"} | {"layout", the layout found}
--
-- A token that is not the live one is decided in reuse.lua, which stands at the end: what rotates does
-- not get there, and does not pay for it.
--
-- A script, not MULTI, because the write depends on the read: of two clients racing with one token
-- exactly one may win (RFC 9700 §4.14.2). Row 1, a presenter that is not the client, is decided
-- before anything is sent.

local born_at, presented, access_lifetime, grace, idle_lifetime, jti, attempt =
  struct.unpack('>dddddI4c0c16', ARGV[11])

-- A script that failed while it ended this session has left a mark, and is finished by reuse.lua; our own
-- retry of one whose answer was lost gets the same answer. Before the rows, since what was written by
-- half covers the token.
local ending = held[#held]
local is_ending = ending and ARGV[10] ~= 'look'
if ARGV[10] == 'finish' and not ending then
  return { 'ok', now, 'ended' }
end

-- What reuse.lua needs of the rows.
local raw, clock = held[4], now
local age, privileges_changed_at, first, second, third, fourth, previous
if not is_ending then
  -- 2. Covered by an entry: nothing more happens.
  for i = 5, #held - 1 do
    local cutoff = held[i] and i ~= 8 and cutoff_of(held[i])
    if cutoff and cutoff >= born_at and not (i == 7 and cutoff_of(held[8]) > cutoff) then
      return { 'ok', now, 'ended' }
    end
  end

  -- 3. No record.
  if not raw then
    return { 'ok', now, 'unknown' }
  end
  local recovered, opened_at, last_used_at, idle_deadline, absolute_deadline, generation, issued_at,
    refresh_end, access_end, indexed_until, last_attempt, whose, live, live_access, past
  recovered, opened_at, last_used_at, idle_deadline, absolute_deadline, privileges_changed_at,
    first, second, third, fourth, generation, issued_at, refresh_end, access_end, indexed_until,
    last_attempt, whose, live, live_access, previous, past = parse(raw)
  if past ~= #raw + 1 then
    error(NOT_OURS)
  end

  -- 3. Another issuer's session of the same name is none, nor is another user's. 1. Another client's token.
  if string.sub(whose, 1, #ARGV[12]) ~= ARGV[12] then
    local entry, client = struct.unpack('>I4c0I4c0', whose)
    local its_entry, its_client = struct.unpack('>I4c0I4c0', ARGV[12])
    return { 'ok', now, entry == its_entry and client ~= its_client and 'refused' or 'unknown' }
  end

  -- Clocks that step back must not make a spend younger than it is. The caller is told what the clock shows:
  -- no other record is dated by the last instant of this one.
  if last_used_at > now then
    now = last_used_at
  end

  -- 4. The idle or the absolute deadline has passed.
  if now >= idle_deadline or now >= absolute_deadline then
    return { 'ok', clock, 'expired' }
  end

  -- 5. Our own retry of a command whose answer was lost.
  if last_attempt == attempt then
    return { 'ok', clock, recovered == 1 and 'recovered' or 'rotated', raw }
  end

  -- From here on without closures: each value that one holds costs the server a piece of memory.
  age = generation - presented
  local outcome, spent_1, spent_2, spent_3

  -- 6. The current one.
  if age == 0 and live == jti then
    outcome, spent_1, spent_2, spent_3 = 'rotated', first, second, third
  -- 10. Later than the record knows: the store lost writes. Nobody knows when the generations between
  -- were spent, so as of now: an honest retry of one is not a theft.
  elseif age == -1 then
    outcome, spent_1, spent_2, spent_3 = 'recovered', now, first, second
  elseif age == -2 then
    outcome, spent_1, spent_2, spent_3 = 'recovered', now, now, first
  elseif age < 0 then
    outcome, spent_1, spent_2, spent_3 = 'recovered', now, now, now
  end

  -- The successor of the presented token becomes the live pair, and that is spent.
  if outcome then
    local idle, access = now + idle_lifetime, now + access_lifetime
    if idle > absolute_deadline then
      idle = absolute_deadline
    end
    -- Access ends with the session, whatever its own lifetime.
    if access > idle then
      access = idle
    end
    local deadline = idle + ARGV[9]
    local write = ARGV[10] == 'rotate'
    if write and indexed_until < deadline then
      indexed_until = keep_index(deadline, string.sub(KEYS[7], #ARGV[7] + 1), opened_at)
    end
    -- The dates of tokens are whole seconds.
    local record = struct.pack('>c1Bddddddddddddddc16I4c0c0I4c0', 'S', outcome == 'recovered' and 1 or 0,
      opened_at, now, idle, absolute_deadline, privileges_changed_at, now, spent_1, spent_2, spent_3,
      presented + 1, now - now % 1000, idle - idle % 1000, access - access % 1000, indexed_until,
      attempt, #whose, whose, ARGV[13], #jti, jti)
    if write then
      redis.call('SET', KEYS[7], record, 'PX', string.format('%.0f', deadline - clock))
    end
    return { 'ok', clock, outcome, record }
  end
end

