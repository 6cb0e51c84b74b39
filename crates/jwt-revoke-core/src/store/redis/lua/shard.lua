-- shard.lua: what the scripts of one shard share. It stands before each of them.
--   KEYS[1]  meta      string: the layout, ended by a zero byte, then doubles: `told` (the latest instant
--                      at which a session was opened, or that was given to a caller to date one by), `logged` (that of the last entry of the log), `cut` (the latest instant up
--                      to which something was revoked), the access and the session horizon (ms; 0
--                      until stated), and `trimmed` (the latest instant up to which entries may have
--                      left the log); then, unless an older version wrote it, the second half of the id of
--                      the last entry of the log (-1: not known), `torn` (the instant at which the shard was
--                      made without knowledge of what it held; 0 once the log tells it), `mended` (an id,
--                      two numbers: what the shard held then was logged once more behind it), and the id of
--                      the last entry of the `lasting` stream, two numbers
--   KEYS[2]  epoch     string, random; without it the shard has lost its data
--   KEYS[3]  healing   string with an expiry; while it is there, "not found" means "unknown"
--   KEYS[4]  log       stream: digest, cutoff, expiry (ms), prev (the id before it); a log of another type
--                      has lost all entries, and is replaced
--   KEYS[5]  audit     stream for people, capped
--   KEYS[6..]          what the script is about
--
-- Scripts, not MULTI, because each write depends on a read. All keys of a shard share one hash
-- tag and so one slot. Instants are the server's TIME, milliseconds. A server runs the whole text of a
-- script each time: what few calls need stands behind what they all do, in raise.lua.

local META, EPOCH, HEALING, LOG, AUDIT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local FIRST = 5 -- what the script is about starts behind this key
local TOLERANCE = 3600000 -- how far a clock may be set back without instants running back

-- What the server's clock shows, ms.
local function shown()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The instant of a cutoff that is written at `now`: never behind a date in the log, a date that was given
-- to a caller (`told`), or the opening of a session, whatever happens to the host's clock or in a failover.
-- So a cutoff covers every session that was opened before it. A `told` that is hours ahead came from a
-- wrong clock and is not waited for: each login replaces it. The log's date holds however far ahead it is,
-- because the log's ids cannot run back.
--
-- Only cutoffs need it. A session is dated by the clock and after every cutoff that covers it, so a clock
-- that was ahead and was put right delays no login but those that such a cutoff covers.
local function instant(now, told, logged)
  if told > now and told <= now + TOLERANCE then
    now = told
  end
  return logged > now and logged or now
end

-- What the clock shows, or nil and the words to answer: the shard lost its data, or is of another layout than
-- ARGV[1]. What META and EPOCH hold is given.
local function open(meta, epoch)
  if not meta or not epoch then
    return nil, { 'lost' }
  end
  local layout = struct.unpack('s', meta)
  if layout ~= ARGV[1] then
    return nil, { 'layout', layout }
  end
  return shown()
end

