-- state.lua: make sure that a shard is there, and tell how it is.
--   ARGV[1]  layout
--   ARGV[2]  access horizon to raise to, ms; 0 states none
--   ARGV[3]  session horizon to raise to, ms; 0 states none
--   ARGV[4]  epoch to give to a shard without one; random, never used before
--   ARGV[5]  how long such a shard answers "unknown", ms
--   ARGV[6]  "date" for an instant by which a session may be dated, which is kept; "write" to prove that
--            the shard can be written; or "look"
--   ARGV[7]  the latest instant that the caller has used: of a session, or of a cutoff, ms
--   ARGV[8]  the latest date that tokens can have: a later one is not kept, ms
--   returns  {"here" | "created", epoch, ms of healing left (0: none), the date or else the instant of a
--            cutoff written now, ms until the server's clock shows that, the last id of the log, access and session horizon (0: not stated),
--            the instant up to which the log may have been trimmed}
--          | {"layout", the layout found}
--
-- A new shard and one that lost its data look the same, so both heal: until then others may put
-- back what they remember.

local NEAR = 20 -- how far ahead of the clock a date may be that the caller waits for, ms

-- What is of another type is lost.
local marks = redis.call('MGET', META, EPOCH)
local held, epoch = marks[1], marks[2]
local layout = held and struct.unpack('s', held)
if layout and layout ~= ARGV[1] then
  return { 'layout', layout }
end
local meta = held and read_meta(held)
  or {
    told = 0, logged = 0, cut = 0, access = 0, session = 0, trimmed = 0,
    seq = -1, torn = 0, mended = 0, mended_seq = 0, lasting = 0, lasting_seq = 0,
  }
local word, changed = 'here', ARGV[6] == 'write'
local tip, other = last_id()
local logged = math.max(meta.logged, (parts(tip)))
local time, used = shown(), tonumber(ARGV[7])
-- Each by itself: one that came from a wrong clock must not hide the other.
local now = math.max(instant(time, meta.told, logged), instant(time, used, logged))
local created = not held or not epoch
if created then
  word, epoch, changed = 'created', ARGV[4], true
  -- Entries may be there that no log tells, whatever else is gone: a reader must not take their absence
  -- from the log for more.
  meta.torn = math.max(now, meta.cut + 1)
  if not held then
    meta.logged, meta.seq = parts(tip)
  end
  if tonumber(ARGV[5]) > 0 then
    redis.call('SET', HEALING, '1', 'PX', ARGV[5])
  end
end
if other and ARGV[6] ~= 'look' then
  -- Readers read the logs of several shards in one command, which another type fails.
  redis.call('DEL', LOG)
end
if ARGV[6] == 'date' then
  -- What begins after a cutoff must not be dated in its millisecond. A cutoff that is further ahead delays
  -- only the sessions that it covers.
  now = meta.cut >= time and meta.cut < time + NEAR and meta.cut + 1 or time
  if now <= tonumber(ARGV[8]) then
    meta.told, changed = math.max(instant(time, meta.told, 0), instant(time, used, 0), now), true
  end
elseif ARGV[6] == 'write' and used > meta.told and used <= time + TOLERANCE then
  -- A failover may have lost it. An instant that was only looked at is not kept: the clock may be wrong.
  meta.told = used
end
-- What is kept for sessions stands on top of what is kept for access tokens: raising one takes
-- nothing from the other.
local access = math.max(meta.access, tonumber(ARGV[2]))
local session = access + math.max(meta.session - meta.access, tonumber(ARGV[3]) - tonumber(ARGV[2]), 0)
if access > meta.access or session > meta.session then
  meta.access, meta.session, changed = access, session, true
end
if changed then
  write_meta(meta)
end
-- Last: without it all of this is done once more.
if created then
  redis.call('SET', EPOCH, epoch)
end
local left = redis.call('PTTL', HEALING)
if left == -1 then
  -- Set by hand, or restored without its expiry: it would last for ever.
  left = math.max(tonumber(ARGV[5]), 1)
  redis.call('PEXPIRE', HEALING, whole(left))
end
return { word, epoch, math.max(left, 0), now, math.max(now - time, 0), tip,
  meta.access, meta.session, meta.trimmed }
