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

-- An id of a stream as two numbers, and back.
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function joined(ms, seq)
  return whole(ms) .. '-' .. whole(math.max(seq, 0))
end

-- Whether a command failed because the key holds another type: ours by its name, and not by what it holds.
local function is_other(answer)
  return type(answer) == 'table' and answer.err and string.find(answer.err, 'WRONGTYPE', 1, true)
end

-- What META holds, as a table.
local function read_meta(meta)
  local at = #ARGV[1] + 2
  local told, logged, cut, access, session, trimmed = struct.unpack('>dddddd', meta, at)
  -- A meta that an older version wrote says no more.
  local seq, torn, mended, mended_seq, lasting, lasting_seq = -1, 0, 0, 0, 0, 0
  if #meta >= at + 95 then
    seq, torn, mended, mended_seq, lasting, lasting_seq = struct.unpack('>dddddd', meta, at + 48)
  end
  return {
    told = told, logged = logged, cut = cut, access = access, session = session, trimmed = trimmed,
    seq = seq, torn = torn, mended = mended, mended_seq = mended_seq,
    lasting = lasting, lasting_seq = lasting_seq,
  }
end

local function write_meta(meta)
  redis.call('SET', META,
    struct.pack('>sdddddddddddd', ARGV[1], meta.told, meta.logged, meta.cut, meta.access, meta.session,
      meta.trimmed, meta.seq, meta.torn, meta.mended, meta.mended_seq, meta.lasting, meta.lasting_seq))
end

-- The last id that the log gave out, even if that entry has been trimmed since; and whether another type
-- stands in its place.
local function last_id()
  if redis.call('EXISTS', LOG) == 0 then
    return '0-0', false
  end
  local info = redis.pcall('XINFO', 'STREAM', LOG)
  if is_other(info) then
    return '0-0', true
  elseif info.err then
    redis.call('XINFO', 'STREAM', LOG) -- Raises it.
  end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      return info[i + 1], false
    end
  end
  return '0-0', false
end

-- The shard as a table, with what it takes to write entries, before the first write. `now` is what the
-- clock shows; the table has the instant of the cutoffs that are written then. Horizons are the
-- longest of those that were stated and that the caller knows of: the store may have lost what was
-- stated, and an entry must outlive the tokens of whoever writes it.
--
-- META says which entry the log ends with. A log that ends before has lost entries (deleted, trimmed,
-- evicted, replaced): the next entry still names the lost one as the one before it, so that each reader
-- sees the gap, and gets an id behind it, so that no reader misses it.
local function prepare(now)
  local meta = read_meta(redis.call('GET', META))
  local last, other = last_id()
  local ms, seq = parts(last)
  local torn = ms < meta.logged or (ms == meta.logged and seq < meta.seq)
  local next = '*'
  if torn then
    last = joined(meta.logged, meta.seq)
    local time = shown()
    ms = math.max(time, meta.logged)
    next = joined(ms, time > meta.logged and 0 or math.max(meta.seq, 0) + 1)
  end
  return {
    meta = meta,
    last = last,
    next = next,
    torn = torn,
    other = other,
    now = instant(now, meta.told, math.max(meta.logged, ms)),
    access = math.max(meta.access, ARGV[2]),
    session = math.max(meta.session, ARGV[3]),
  }
end

-- Writes the audit stream, which is for people and must never keep what is for safety from being written: a
-- key of another type in its place is left as it is, and nothing is noted.
local function audit(most, cutoff, dimension, issuer, value, cause, actor)
  redis.pcall('XADD', AUDIT, 'MAXLEN', '~', most, '*', 'cutoff', cutoff, 'dimension', dimension,
    'issuer', issuer, 'value', value, 'cause', cause, 'actor', actor)
end

-- Appends an entry to the log, and to the stream beside it if it must be found there for longer. META is
-- yet to be written.
local function log(shard, digest, value, life, lasting, wide)
  local meta = shard.meta
  local oldest = math.max(shard.now - shard.access, 0)
  local expiry = whole(shard.now + life)
  local marks = lasting and { 'lasting', '1' } or {}
  if wide then
    marks[#marks + 1], marks[#marks + 2] = 'wide', '1'
  end
  if shard.other then
    redis.call('DEL', LOG)
    shard.other = false
  end
  local last = redis.call('XADD', LOG, 'MINID', '~', whole(oldest), shard.next,
    'digest', digest, 'cutoff', value, 'expiry', expiry, 'prev', shard.last, unpack(marks))
  if lasting and life > shard.access then
    local key = string.gsub(LOG, 'log$', 'lasting')
    local first = whole(math.max(shard.now - shard.session, 0))
    local before = joined(meta.lasting, meta.lasting_seq)
    local function add(call)
      return call('XADD', key, 'MINID', '~', first, '*', 'digest', digest, 'cutoff', value,
        'expiry', expiry, 'prev', shard.last, 'before', before, unpack(marks))
    end
    local added = add(redis.pcall)
    if is_other(added) then
      redis.call('DEL', key)
    end
    if type(added) == 'table' then
      added = add(redis.call)
    end
    meta.lasting, meta.lasting_seq = parts(added)
  end
  shard.last, shard.next = last, '*'
  meta.logged, meta.seq = parts(last)
  meta.trimmed = math.max(meta.trimmed, oldest)
end

-- Raises the entry `key` to `cutoff` (a number, or '*') and its life to `ttl` ms. Cutoffs and lives
-- only rise. What changes is logged; a life that is short by less than a minute (and a tenth) is
-- left alone, since the margin in every horizon is five, so that repetition cannot flood the log.
-- Returns whether anything changed, the cutoff in force, its remaining life, and whether the cutoff rose.
--   lasting  whether tokens that it covers may be issued as long as it lives: then the entry is also kept
--            beside the log, longer than that is
--   wide     whether it concerns every shard: a process that reads that completes it where it is missing
--
-- First the log, then the entry, then META: a script may fail at any write (a right that is missing, a key
-- of another type), and an entry that is there is then in the log too, so that a repetition, which
-- writes only what is missing, leaves the whole.
local function raise(shard, key, digest, cutoff, ttl, lasting, wide)
  local held = redis.pcall('GET', key)
  if is_other(held) then
    held = false
  elseif type(held) == 'table' then
    held = redis.call('GET', key)
  end
  local left = held and math.max(redis.call('PTTL', key), 0) or 0
  local higher = not held
    or (held ~= '*' and (cutoff == '*' or (tonumber(held) or -1) < cutoff))
  local slack = math.min(60000, math.floor(ttl / 10))
  -- A log that has lost its end may have lost this entry.
  if not higher and left >= ttl - slack and not shard.torn then
    return false, held, left, false
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
  log(shard, digest, value, life, lasting, wide)
  redis.call('SET', key, value, 'PX', whole(life))
  meta.cut = math.max(meta.cut, cut)
  write_meta(meta)
  return true, value, life, higher
end

