-- shard.lua: what the scripts of one shard share. It stands before each of them.
--   KEYS[1]  meta      hash: layout, access and session (the horizons, ms; absent until stated),
--                      opened (the latest instant at which a session was), cut (the latest instant
--                      up to which something was revoked), told (the latest instant that was given
--                      to a caller who may date a session by it)
--   KEYS[2]  epoch     string, random; without it the shard has lost its data
--   KEYS[3]  healing   string with an expiry; while it is there, "not found" means "unknown"
--   KEYS[4]  log       stream: digest, cutoff, expiry (ms), prev (the id before it)
--   KEYS[5]  audit     stream for people, capped
--   KEYS[6..]          what the script is about
--
-- Scripts, not MULTI, because each write depends on a read. All keys of a shard share one hash
-- tag and so one slot. Instants are the server's TIME, milliseconds.

local META, EPOCH, HEALING, LOG, AUDIT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
-- Of what the log holds, the entries that tokens need longer than it is kept.
local LASTING = string.gsub(LOG, 'log$', 'lasting')
local FIRST = 5 -- what the script is about starts behind this key
local AHEAD = 5000 -- a cutoff further ahead could never be lowered again
local DRIFT = 300000 -- how far the clocks of a store's servers may be apart: the margin of horizons
local TOLERANCE = 3600000 -- how far a clock may be set back without instants running back

local function whole(number)
  return string.format('%.0f', number)
end

-- The last id that the log gave out, even if that entry has been trimmed since.
local function last_id()
  if redis.call('EXISTS', LOG) == 0 then
    return '0-0'
  end
  local info = redis.call('XINFO', 'STREAM', LOG)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      return info[i + 1]
    end
  end
  return '0-0'
end

-- Never runs back behind what the log has dated, what was `told` to a caller, or the opening of a
-- session, whatever happens to the host's clock or in a failover: cutoffs must cover all sessions that
-- were opened before them. An instant that is hours ahead came from a clock that was wrong, and is not
-- waited for.
local function instant(last, told)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  if told > now + TOLERANCE then
    told = 0
  end
  return math.max(now, told, tonumber(string.match(last, '^%d+')))
end

-- The shard as a table, or nil and the words to answer: it lost its data, or is of another layout.
--   layout           what this version of the crate writes
--   access, session  horizons to go by as long as no process has stated any
local function open(layout, access, session)
  local meta = redis.call('HMGET', META, 'layout', 'access', 'session', 'opened', 'cut', 'told')
  local epoch = redis.call('GET', EPOCH)
  if not meta[1] or not epoch then
    return nil, { 'lost' }
  end
  if meta[1] ~= layout then
    return nil, { 'layout', meta[1] }
  end
  local last = last_id()
  return {
    epoch = epoch,
    access = tonumber(meta[2] or access),
    session = tonumber(meta[3] or session),
    last = last,
    now = instant(last, math.max(tonumber(meta[4] or 0), tonumber(meta[6] or 0))),
    cut = tonumber(meta[5] or 0),
  }
end

-- Raises the entry `key` to `cutoff` (a number, or '*') and its life to `ttl` ms. Cutoffs and lives
-- only rise. What changes is logged; a life that is short by less than a minute (and a tenth) is
-- left alone, since the margin in every horizon is five, so that repetition cannot flood the log.
-- Returns whether anything changed, the cutoff in force, and its remaining life.
--   lasting  whether tokens that it covers may be issued as long as it lives
local function raise(shard, key, digest, cutoff, ttl, lasting)
  local held = redis.call('GET', key)
  local left = held and math.max(redis.call('PTTL', key), 0) or 0
  local higher = not held
    or (held ~= '*' and (cutoff == '*' or (tonumber(held) or -1) < cutoff))
  local slack = math.min(60000, math.floor(ttl / 10))
  if not higher and left >= ttl - slack then
    return false, held, left
  end
  local value = held
  if higher then
    value = cutoff == '*' and '*' or whole(cutoff)
  end
  local cut = higher and cutoff ~= '*' and math.min(cutoff, math.max(shard.now, shard.cut + 1)) or 0
  local life = math.max(ttl, left)
  -- The first write of a script is the one that `maxmemory` can refuse; once it has passed, the
  -- server lets the script run to its end.
  redis.call('SET', key, value, 'PX', whole(life))
  if cut > shard.cut then
    shard.cut = cut
    redis.call('HSET', META, 'cut', whole(cut))
  end
  local oldest = whole(math.max(shard.now - shard.access, 0))
  shard.last = redis.call('XADD', LOG, 'MINID', '~', oldest, '*',
    'digest', digest, 'cutoff', value, 'expiry', whole(shard.now + life), 'prev', shard.last,
    unpack(lasting and { 'lasting', '1' } or {}))
  if lasting and life > shard.access then
    redis.call('XADD', LASTING, 'MINID', '~', whole(math.max(shard.now - shard.session, 0)), '*',
      'digest', digest, 'cutoff', value, 'expiry', whole(shard.now + life), 'prev', shard.last, 'lasting', '1')
  end
  return true, value, life
end

