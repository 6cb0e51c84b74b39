-- record.lua: a session's record, one string. What Lua does for each number or field would cost more than
-- all of this: it is taken apart and put together by one call of `struct` each.
--
-- Numbers are doubles and instants ms; texts stand behind their length; all big-endian:
--   "S"; 1 if the last attempt recovered a lost write, else 0
--   opened, last used, idle deadline, absolute deadline, privileges changed, the latest four spends
--   the live pair: generation, issued, end of the refresh token, end of the access token, `jti` of
--     the refresh token, of the access token
--   `jti` of the refresh token before, the last attempt; empty if there is none
--   digest of the session's entry, client, subject, the device's label or nothing
-- Identifiers are packed by the caller: they are equal if the bytes are.

local RECORD = '>xBdddddddddddddI4c0I4c0I4c0I4c0I4c0I4c0I4c0I4c0'
local MARK = 34 -- the bytes before the instant at which privileges changed

local NOT_OURS = 'a record is none of ours'

-- All of a record in its order, but for the "S"; at the end the place behind it, which the caller checks.
local function parse(raw)
  if string.byte(raw) ~= 83 then
    error(NOT_OURS)
  end
  return struct.unpack(RECORD, raw)
end

-- A pair as it stands in a record, and as it is answered.
local function pair_of(generation, issued_at, refresh_end, access_end, refresh, access)
  return struct.pack('>ddddI4c0I4c0', generation, issued_at, refresh_end, access_end, #refresh, refresh,
    #access, access)
end

-- What most scripts must know of a record, or nil without one.
local function known(raw)
  if not raw then
    return nil
  end
  local _, _, last_used_at, idle_deadline, absolute_deadline, privileges_changed_at, _, _, _, _,
    _, _, _, _, _, _, _, attempt, entry, _, subject, _, past = parse(raw)
  if past ~= #raw + 1 then
    error(NOT_OURS)
  end
  return {
    raw = raw,
    last_used_at = last_used_at,
    deadline = math.min(idle_deadline, absolute_deadline),
    privileges_changed_at = privileges_changed_at,
    attempt = attempt, subject = subject, entry = entry,
  }
end

local function read(key)
  return known(redis.call('GET', key))
end

local function is_expired(record, now)
  return math.max(now, record.last_used_at) >= record.deadline
end
