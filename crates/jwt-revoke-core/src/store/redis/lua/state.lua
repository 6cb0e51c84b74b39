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

local layout = redis.call('HGET', META, 'layout')
if layout and layout ~= ARGV[1] then
  return { 'layout', layout }
end
local epoch = redis.call('GET', EPOCH)
local word = 'here'
local marks = redis.call('HMGET', META, 'opened', 'cut', 'told')
local seen = math.max(tonumber(marks[1] or 0), tonumber(marks[3] or 0), tonumber(ARGV[7]))
local tip = last_id()
local now = instant(string.match(tip, '^%d+'), seen)
-- What begins after a cutoff must not be dated in its millisecond.
local told = math.max(now, tonumber(marks[2] or 0) + 1)
if not layout or not epoch then
  word, epoch = 'created', ARGV[4]
  if tonumber(ARGV[5]) > 0 then
    redis.call('SET', HEALING, '1', 'PX', ARGV[5])
  end
  redis.call('HSET', META, 'layout', ARGV[1])
  redis.call('SET', EPOCH, epoch)
end
if ARGV[6] == 'write' then
  redis.call('HSET', META, 'told', whole(told))
end
local horizons = {}
for i, name in ipairs({ 'access', 'session' }) do
  local wanted = tonumber(ARGV[i + 1])
  horizons[i] = tonumber(redis.call('HGET', META, name) or 0)
  if wanted > horizons[i] then
    redis.call('HSET', META, name, ARGV[i + 1])
    horizons[i] = wanted
  end
end
return { word, epoch, math.max(redis.call('PTTL', HEALING), 0), told, math.max(told - instant(0, 0), 0), tip,
  horizons[1], horizons[2], tonumber(redis.call('HGET', META, 'trimmed') or 0) }
