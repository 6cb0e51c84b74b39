-- reuse.lua: the end of rotate.lua, for a token that is not the live one: a retry, or theft.

-- Ends the session, and with `user` all that the user has opened until now.
local function kill(outcome, cause, user)
  local written = {}
  if ARGV[10] == 'rotate' then
    prepare(shard, ARGV[2], ARGV[3])
    now = math.max(now, shard.now)
    end_session(shard, written, sid, ARGV[12], cause)
    if user then
      -- Tokens may be born until the cutoff, so the entry lives from there.
      local life = shard.session + now - shard.now
      revoke(shard, written, KEYS[9], ARGV[13], now, life, 'subject', ARGV[25], cause)
    end
  end
  return { 'ok', now, outcome, {}, written }
end

-- 9. The current or the previous generation, and another `jti`: the line split in a failover.
if age == 0 or (age == 1 and redis.call('HGET', KEYS[7], 'v') ~= ARGV[16]) then
  return kill('forked', 'fork', false)
end

-- What the record no longer remembers was spent as long ago as can be.
local since = ago[age] or now
if since < tonumber(ARGV[22]) then
  -- 7. The previous one, a moment ago. After a privilege change a retry must bring forth no token.
  if age == 1 and tonumber(privileges_changed_at) < now - since then
    return again('retried')
  end
  -- 8. A slow tab, not a thief.
  return quiet('superseded')
end

-- 11. A spent token came back (RFC 9700 §4.14.2).
if ARGV[23] == 'refuse' then
  return quiet('reused')
end
return kill('reused', 'reuse', ARGV[23] == 'user')
