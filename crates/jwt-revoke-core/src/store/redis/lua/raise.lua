-- raise.lua: writing entries. It stands behind shard.lua.
--   ARGV[1]  layout
--   ARGV[2]  access horizon that the caller knows of, ms
--   ARGV[3]  session horizon that the caller knows of, ms

local AHEAD = 5000 -- a cutoff further ahead could never be lowered again
local DRIFT = 300000 -- how far the clocks of a store's servers may be apart: the margin of horizons

-- Numbers as text, every digit of them: Lua would round them, and servers write some as `1e+9`. `%d`
-- takes half the time, where the machine counts so far with it.
local DIGITS = string.format('%d', 4503599627370496) == '4503599627370496' and '%d' or '%.0f'
local function whole(number)
  return string.format(DIGITS, number)
end

-- What META holds, as a table.
local function read_meta(meta)
  local told, logged, cut, access, session, trimmed = struct.unpack('>dddddd', meta, #ARGV[1] + 2)
  return { told = told, logged = logged, cut = cut, access = access, session = session, trimmed = trimmed }
end

local function write_meta(meta)
  redis.call('SET', META,
    struct.pack('>sdddddd', ARGV[1], meta.told, meta.logged, meta.cut, meta.access, meta.session, meta.trimmed))
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

-- The shard as a table, with what it takes to write entries, before the first write. Horizons are the
-- longest of those that were stated and that the caller knows of: the store may have lost what was
-- stated, and an entry must outlive the tokens of whoever writes it.
local function prepare(now)
  local meta = read_meta(redis.call('GET', META))
  local last = last_id()
  return {
    meta = meta,
    last = last,
    -- Whatever `logged` says.
    now = math.max(now, string.match(last, '^%d+')),
    access = math.max(meta.access, ARGV[2]),
    session = math.max(meta.session, ARGV[3]),
  }
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
  local meta = shard.meta
  local cut = higher and cutoff ~= '*' and math.min(cutoff, math.max(shard.now, meta.cut + 1)) or 0
  local life = math.max(ttl, left)
  -- The first write of a script is the one that `maxmemory` can refuse; once it has passed, the
  -- server lets the script run to its end.
  redis.call('SET', key, value, 'PX', whole(life))
  local oldest = math.max(shard.now - shard.access, 0)
  local marks = lasting and { 'lasting', '1' } or {}
  if wide then
    marks[#marks + 1], marks[#marks + 2] = 'wide', '1'
  end
  local last = redis.call('XADD', LOG, 'MINID', '~', whole(oldest), '*',
    'digest', digest, 'cutoff', value, 'expiry', whole(shard.now + life), 'prev', shard.last,
    unpack(marks))
  if lasting and life > shard.access then
    local first = whole(math.max(shard.now - shard.session, 0))
    redis.call('XADD', string.gsub(LOG, 'log$', 'lasting'), 'MINID', '~', first, '*', 'digest', digest,
      'cutoff', value, 'expiry', whole(shard.now + life), 'prev', shard.last, unpack(marks))
  end
  shard.last = last
  meta.cut, meta.logged = math.max(meta.cut, cut), tonumber(string.match(last, '^%d+'))
  meta.trimmed = math.max(meta.trimmed, oldest)
  write_meta(meta)
  return true, value, life
end

