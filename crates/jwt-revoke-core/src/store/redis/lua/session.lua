-- session.lua: how all scripts about sessions begin. It stands behind shard.lua.
--   KEYS[6]  index     sorted set: the `sid`s of one user by opening; lives at least as long as the latest
--   KEYS[7..]          strings, which are read at the start: a record, entries
--   ARGV[1]  layout
--   ARGV[2]  access horizon that the caller knows of, ms
--   ARGV[3]  session horizon that the caller knows of, ms
--   ARGV[4]  the epoch in which the caller has put back all that it remembers
--   ARGV[5]  the most entries of the audit stream
--   ARGV[6]  issuer, for the audit stream
--   ARGV[7]  what stands before a `sid` in the key of a session's record
--   ARGV[8]  what stands before a digest in the key of an entry
--   ARGV[9]  how much longer than the session a record lives, ms
--
-- Keys that are not among KEYS are made from the index's members. They lie in the same slot, and
-- are all read before the first write: while a slot moves, that ends the script with nothing done.

local INDEX = KEYS[6]

-- From the fourth on what KEYS[7..] hold.
local held = redis.call('MGET', META, EPOCH, HEALING, unpack(KEYS, 7))
local now, answer = open(held[1], held[2])
-- Where data was lost and may not be back, nothing is known for certain: neither that a session is
-- gone, nor that it was not ended.
if not now then
  return answer
elseif held[2] ~= ARGV[4] then
  return { 'lost' }
elseif held[3] then
  return { 'healing' }
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

