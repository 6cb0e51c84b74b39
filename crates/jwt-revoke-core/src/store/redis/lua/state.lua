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

local held = redis.call('GET', META)
local layout = held and struct.unpack('s', held)
if layout and layout ~= ARGV[1] then
  return { 'layout', layout }
end
local meta = held and read_meta(held)
  or { told = 0, logged = 0, cut = 0, access = 0, session = 0, trimmed = 0 }
local epoch = redis.call('GET', EPOCH)
local word, changed = 'here', ARGV[6] == 'write'
local tip = last_id()
local logged = tonumber(string.match(tip, '^%d+'))
-- Each by itself: one that came from a wrong clock must not hide the other.
local now = math.max(instant(meta.told, logged), instant(tonumber(ARGV[7]), logged))
-- What begins after a cutoff must not be dated in its millisecond.
local told = math.max(now, meta.cut + 1)
if not held or not epoch then
  word, epoch, changed = 'created', ARGV[4], true
  if tonumber(ARGV[5]) > 0 then
    redis.call('SET', HEALING, '1', 'PX', ARGV[5])
  end
  redis.call('SET', EPOCH, epoch)
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
return { word, epoch, math.max(redis.call('PTTL', HEALING), 0), told, math.max(told - instant(0, 0), 0), tip,
  meta.access, meta.session, meta.trimmed }
