-- session.lua: what the scripts about sessions share. It stands behind shard.lua.
--   KEYS[6]  index     sorted set: the `sid`s of one user by opening; lives as long as the latest
--   ARGV[1]  layout
--   ARGV[2]  access horizon while none is stated, ms
--   ARGV[3]  session horizon while none is stated, ms
--   ARGV[4]  the epoch in which the caller has put back all that it remembers
--   ARGV[5]  the most entries of the audit stream
--   ARGV[6]  issuer, for the audit stream
--   ARGV[7]  what stands before a `sid` in the key of a session's record
--   ARGV[8]  what stands before a digest in the key of an entry
--   ARGV[9]  how much longer than the session a record lives, ms
--
-- A record is a hash whose fields are short, so that the server packs them. Instants are ms.
--   t  opened, last used, idle deadline, absolute deadline
--   g  generation, issued, end of the refresh token, end of the access token
--   s  how long before the last use the latest four spends were, the latest first
--   p  when privileges changed, and 1 if the last attempt recovered a lost write, else 0
--   r, a, v  `jti` of the refresh token, of the access token, and of the refresh token before, each
--      packed by the caller: equal if the bytes are
--   m  the last attempt, packed
--   u, c, e  subject, packed; client; digest of the session's entry
--   d, f  the device's label: the first 64 bytes, and the rest
--
-- Keys that are not among KEYS are made from the index's members. They lie in the same slot, and
-- are all read before the first write: while a slot moves, that ends the script with nothing done.

local INDEX = KEYS[6]
local FIELDS = { 't', 'g', 's', 'p', 'r', 'a', 'v', 'm', 'u', 'c', 'e', 'd', 'f' }

-- The shard as a table, or nil and the words to answer. Where data was lost and may not be back,
-- nothing is known for certain: neither that a session is gone, nor that it was not ended.
local function open_whole()
  local shard, answer = open(ARGV[1], ARGV[2], ARGV[3])
  if not shard then
    return nil, answer
  end
  if shard.epoch ~= ARGV[4] then
    return nil, { 'lost' }
  end
  if redis.call('EXISTS', HEALING) == 1 then
    return nil, { 'healing' }
  end
  return shard
end

-- The numbers in a field, which are so many, or it is none of ours.
local function numbers(field, count)
  local list = {}
  for number in string.gmatch(field or '', '%d+') do
    list[#list + 1] = tonumber(number)
  end
  if #list ~= count then
    error('a record is none of ours')
  end
  return list
end

-- The same as text, every digit of it.
local function text(list)
  local words = {}
  for i, number in ipairs(list) do
    words[i] = whole(number)
  end
  return table.concat(words, ' ')
end

-- An entry as a number, math.huge for ever, 0 if there is none.
local function cutoff_of(entry)
  if not entry then
    return 0
  elseif entry == '*' then
    return math.huge
  elseif not string.match(entry, '^%d+$') then
    error('an entry holds no cutoff')
  end
  return tonumber(entry)
end

-- A record, or nil. The names are those of record.rs.
local function read(key)
  local raw = redis.call('HMGET', key, unpack(FIELDS))
  if not raw[1] then
    return nil
  end
  local t, g, s, p = numbers(raw[1], 4), numbers(raw[2], 4), numbers(raw[3], 4), numbers(raw[4], 2)
  for i = 1, 4 do
    s[i] = t[2] - s[i]
  end
  return {
    raw = raw,
    opened_at = t[1], last_used_at = t[2], idle_deadline = t[3], absolute_deadline = t[4],
    generation = g[1], issued_at = g[2], refresh_expires_at = g[3], access_expires_at = g[4],
    spent_at = s,
    privileges_changed_at = p[1], recovered = p[2] == 1,
    refresh = raw[5], access = raw[6], previous = raw[7], attempt = raw[8],
    subject = raw[9], client = raw[10], entry = raw[11],
  }
end

local function is_expired(record, now)
  return now >= record.idle_deadline or now >= record.absolute_deadline
end

-- Lets the record and the index live until the session ends, and a little longer.
local function keep(key, idle_deadline, now, sid, opened_at)
  local life = math.max(idle_deadline + tonumber(ARGV[9]) - now, 1)
  redis.call('PEXPIRE', key, whole(life))
  local left = redis.call('PTTL', INDEX)
  if left == -2 then
    redis.call('ZADD', INDEX, whole(opened_at), sid)
  end
  if left < life then
    redis.call('PEXPIRE', INDEX, whole(life))
  end
end

-- Raises an entry, tells people, and adds what the caller is to remember to `written`.
local function revoke(shard, written, key, digest, cutoff, life, dimension, value, cause)
  local changed, held, left = raise(shard, key, digest, cutoff, life)
  if changed then
    redis.call('XADD', AUDIT, 'MAXLEN', '~', ARGV[5], '*', 'cutoff', held, 'dimension', dimension,
      'issuer', ARGV[6], 'value', value, 'cause', cause, 'actor', '')
  end
  written[#written + 1] = digest
  written[#written + 1] = held
  written[#written + 1] = whole(left)
end

-- Ends a session: first the entry, which `maxmemory` can refuse, then its record.
local function end_session(shard, written, sid, digest, cause)
  revoke(shard, written, ARGV[8] .. digest, digest, '*', shard.session, 'session', sid, cause)
  redis.call('DEL', ARGV[7] .. sid)
  redis.call('ZREM', INDEX, sid)
end

