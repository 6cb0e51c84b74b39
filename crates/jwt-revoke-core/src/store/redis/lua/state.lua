-- state.lua: make sure that a shard is there, and tell how it is.
--   ARGV[1]  layout
--   ARGV[2]  access horizon to raise to, ms; 0 states none
--   ARGV[3]  session horizon to raise to, ms; 0 states none
--   ARGV[4]  epoch to give to a shard without one; random, never used before
--   ARGV[5]  how long such a shard answers "unknown", ms
--   ARGV[6]  "write" to prove that the shard can be written, and keep the instant; or "look"
--   ARGV[7]  the latest instant that the caller has seen, ms
--   returns  {"here" | "created", epoch, ms of healing left (0: none), now, ms until the server's
--            clock shows that, the last id of the log, access and session horizon (0: not stated),
--            the instant up to which the log may have been trimmed}
--          | {"layout", the layout found}
--
-- A new shard and one that lost its data look the same, so both heal: until then others may put
-- back what they remember.

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
-- Each by itself: one that came from a wrong clock must not hide the other.
local now = math.max(instant(meta.told, logged), instant(tonumber(ARGV[7]), logged))
-- What begins after a cutoff must not be dated in its millisecond.
local told = math.max(now, meta.cut + 1)
local created = not held or not epoch
if created then
  word, epoch, changed = 'created', ARGV[4], true
  -- Entries may be there that no log tells, whatever else is gone: a reader must not take their absence
  -- from the log for more.
  meta.torn = math.max(told, 1)
  if not held then
    meta.logged, meta.seq = parts(tip)
  end
  if tonumber(ARGV[5]) > 0 then
    redis.call('SET', HEALING, '1', 'PX', ARGV[5])
  end
end
if other and ARGV[6] == 'write' then
  -- Readers read the logs of several shards in one command, which another type fails.
  redis.call('DEL', LOG)
end
if ARGV[6] == 'write' then
  meta.told = told
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
return { word, epoch, math.max(left, 0), told, math.max(told - instant(0, 0), 0), tip,
  meta.access, meta.session, meta.trimmed }
