-- raise.lua: writing entries. It stands behind shard.lua.

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

-- Adds to a shard what it takes to write entries, before the first write.
--   access, session  horizons to go by as long as no process has stated any
local function prepare(shard, access, session)
  local meta = redis.call('HMGET', META, 'cut', 'access', 'session')
  shard.cut = tonumber(meta[1] or 0)
  shard.access = tonumber(meta[2] or access)
  shard.session = tonumber(meta[3] or session)
  shard.last = last_id()
  -- Whatever `logged` says.
  shard.now = math.max(shard.now, string.match(shard.last, '^%d+'))
end

-- Raises the entry `key` to `cutoff` (a number, or '*') and its life to `ttl` ms. Cutoffs and lives
-- only rise. What changes is logged; a life that is short by less than a minute (and a tenth) is
-- left alone, since the margin in every horizon is five, so that repetition cannot flood the log.
-- Returns whether anything changed, the cutoff in force, and its remaining life.
--   lasting  whether tokens that it covers may be issued as long as it lives: then the entry is also kept
--            beside the log, longer than that is
--   wide     whether it concerns every shard: whoever reads that completes it where it is missing
local function raise(shard, key, digest, cutoff, ttl, lasting, wide)
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
  local oldest = whole(math.max(shard.now - shard.access, 0))
  local marks = lasting and { 'lasting', '1' } or {}
  if wide then
    marks[#marks + 1], marks[#marks + 2] = 'wide', '1'
  end
  local last = redis.call('XADD', LOG, 'MINID', '~', oldest, '*',
    'digest', digest, 'cutoff', value, 'expiry', whole(shard.now + life), 'prev', shard.last,
    unpack(marks))
  if lasting and life > shard.access then
    oldest = whole(math.max(shard.now - shard.session, 0))
    redis.call('XADD', string.gsub(LOG, 'log$', 'lasting'), 'MINID', '~', oldest, '*', 'digest', digest,
      'cutoff', value, 'expiry', whole(shard.now + life), 'prev', shard.last, unpack(marks))
  end
  shard.last, shard.cut = last, math.max(shard.cut, cut)
  redis.call('HSET', META, 'cut', whole(shard.cut), 'logged', string.match(last, '^%d+'))
  return true, value, life
end

