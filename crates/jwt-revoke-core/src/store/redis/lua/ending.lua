-- ending.lua: ending sessions. It stands behind session.lua and raise.lua.

-- Raises an entry, tells people, and adds what the caller is to remember to `written`.
local function revoke(shard, written, key, digest, cutoff, life, dimension, value, cause, lasting)
  local changed, held, left = raise(shard, key, digest, cutoff, life, lasting)
  if changed then
    audit(ARGV[5], held, dimension, ARGV[6], value, cause, '')
  end
  written[#written + 1] = digest
  written[#written + 1] = held
  written[#written + 1] = whole(left)
end

-- Raises the entry of a session that is to end. One that a clock dated ahead is over so much later: its
-- instant is in its `sid`.
local function revoke_session(shard, written, sid, digest, cause)
  local high, low = string.match(sid, '^(%x%x%x%x%x%x%x%x)%-(%x%x%x%x)%-7')
  local ahead = high and math.max(tonumber(high .. low, 16) - shard.now, 0) or 0
  revoke(shard, written, ARGV[8] .. digest, digest, '*', shard.session + ahead, 'session', sid, cause,
    ahead > AHEAD)
end

-- Removes the record of a session that has ended. Behind all entries that a script writes: from the
-- records a repetition knows what there is to end.
local function drop_session(sid)
  redis.call('DEL', ARGV[7] .. sid)
  -- An index of another type must not keep a session from ending.
  redis.pcall('ZREM', INDEX, sid)
end

