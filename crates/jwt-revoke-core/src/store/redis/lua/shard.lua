-- shard.lua: what the scripts of one shard share. It stands before each of them.
--   KEYS[1]  meta      hash: layout, access and session (the horizons, ms; absent until stated),
--                      opened (the latest instant at which a session was), cut (the latest instant
--                      up to which something was revoked), told (the latest instant that was given
--                      to a caller who may date a session by it), logged (that of the last entry of
--                      the log), trimmed (the latest up to which entries may have left it)
--   KEYS[2]  epoch     string, random; without it the shard has lost its data
--   KEYS[3]  healing   string with an expiry; while it is there, "not found" means "unknown"
--   KEYS[4]  log       stream: digest, cutoff, expiry (ms), prev (the id before it)
--   KEYS[5]  audit     stream for people, capped
--   KEYS[6..]          what the script is about
--
-- Scripts, not MULTI, because each write depends on a read. All keys of a shard share one hash
-- tag and so one slot. Instants are the server's TIME, milliseconds. A server runs the whole text of a
-- script each time: what few calls need stands behind what they all do, in raise.lua.

local META, EPOCH, HEALING, LOG, AUDIT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local FIRST = 5 -- what the script is about starts behind this key
local AHEAD = 5000 -- a cutoff further ahead could never be lowered again
local DRIFT = 300000 -- how far the clocks of a store's servers may be apart: the margin of horizons
local TOLERANCE = 3600000 -- how far a clock may be set back without instants running back

-- Numbers as text, every digit of them: Lua would round them. `%d` takes half the time, where the
-- machine counts so far with it.
local DIGITS = string.format('%d', 4503599627370496) == '4503599627370496' and '%d' or '%.0f'
local function whole(number)
  return string.format(DIGITS, number)
end

-- Never runs back behind what the log has dated, what was `told` to a caller, or the opening of a
-- session, whatever happens to the host's clock or in a failover: cutoffs must cover all sessions that
-- were opened before them. An instant that is hours ahead came from a clock that was wrong, and is not
-- waited for.
local function instant(logged, told)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if told > now + TOLERANCE then
    told = 0
  end
  return math.max(now, told, logged)
end

-- The shard as a table, or nil and the words to answer: it lost its data, or is of another layout.
--   epoch   what KEYS[2] holds
--   layout  what this version of the crate writes
local function open(epoch, layout)
  local meta = redis.call('HMGET', META, 'layout', 'opened', 'told', 'logged')
  if not meta[1] or not epoch then
    return nil, { 'lost' }
  elseif meta[1] ~= layout then
    return nil, { 'layout', meta[1] }
  end
  return { now = instant(meta[4] or 0, math.max(meta[2] or 0, meta[3] or 0)) }
end

