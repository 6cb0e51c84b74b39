-- ending.lua: ending sessions. It stands behind session.lua and raise.lua.

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

