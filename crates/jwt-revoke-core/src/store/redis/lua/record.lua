-- record.lua: a session's record, one string. What Lua does for each number or field would cost more than
-- all of this: it is taken apart and put together by one call of `struct` each.
--
-- Numbers are doubles and instants ms; texts stand behind their length in four bytes; all big-endian:
--   "S"; 1 if the last attempt recovered a lost write, else 0
--   opened, last used, idle deadline, absolute deadline, privileges changed, the latest four spends
--   of the live pair: generation, issued, end of the refresh token, end of the access token
--   until when the user's index is known to live; 0 if it is not known
--   the last attempt, 16 bytes
--   in one text, what never changes: the digest of the session's entry, client, subject, the device's
--     label or nothing
--   `jti` of the live refresh token, of the access token, of the refresh token before or nothing
-- Identifiers are packed by the caller: they are equal if the bytes are.

local RECORD = '>xBddddddddddddddc16I4c0I4c0I4c0I4c0'
local MARK = 34 -- the bytes before the instant at which privileges changed

local NOT_OURS = 'a record is none of ours'

-- All of a record in its order, but for the "S"; at the end the place behind it, which the caller checks.
local function parse(raw)
  if string.byte(raw) ~= 83 then
    error(NOT_OURS)
  end
  return struct.unpack(RECORD, raw)
end

