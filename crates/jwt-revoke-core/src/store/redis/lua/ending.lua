-- ending.lua: ending sessions. It stands behind session.lua and raise.lua.

-- Raises an entry, tells people, and adds what the caller is to remember to `written`.
local function revoke(shard, written, key, digest, cutoff, life, dimension, value, cause, lasting)
  local changed, held, left = raise(shard, key, digest, cutoff, life, lasting)
  if changed then
    redis.call('XADD', AUDIT, 'MAXLEN', '~', ARGV[5], '*', 'cutoff', held, 'dimension', dimension,
      'issuer', ARGV[6], 'value', value, 'cause', cause, 'actor', '')
  end
  written[#written + 1] = digest
  written[#written + 1] = held
  written[#written + 1] = whole(left)
end

-- Ends a session: first the entry, which `maxmemory` can refuse, then its record.
-- One that a clock dated ahead is over so much later: its instant is in its `sid`.
local function end_session(shard, written, sid, digest, cause)
  local high, low = string.match(sid, '^(%x%x%x%x%x%x%x%x)%-(%x%x%x%x)%-7')
  local ahead = high and math.max(tonumber(high .. low, 16) - shard.now, 0) or 0
  revoke(shard, written, ARGV[8] .. digest, digest, '*', shard.session + ahead, 'session', sid, cause,
    ahead > AHEAD)
  redis.call('DEL', ARGV[7] .. sid)
  redis.call('ZREM', INDEX, sid)
end

