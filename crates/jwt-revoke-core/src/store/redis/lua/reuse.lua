-- reuse.lua: the end of rotate.lua, for a token that is not the live one: a retry, or theft.

-- Ends the session, and with `user` all that the user has opened until now.
local function kill(outcome, cause, user)
  local written = {}
  if ARGV[10] == 'rotate' then
    local shard = prepare(clock)
    now = math.max(now, shard.now)
    end_session(shard, written, string.sub(KEYS[7], #ARGV[7] + 1), string.sub(KEYS[8], #ARGV[8] + 1), cause)
    if user then
      -- Tokens may be born until the cutoff, so the entry lives from there.
      local life = shard.session + now - shard.now
      revoke(shard, written, KEYS[9], string.sub(KEYS[9], #ARGV[8] + 1), now, life, 'subject', ARGV[15], cause)
    end
  end
  return { 'ok', now, outcome, '', written }
end

-- 9. The current or the previous generation, and another `jti`: the line split in a failover.
if age == 0 or (age == 1 and previous ~= jti) then
  return kill('forked', 'fork', false)
end

-- What the record no longer remembers was spent as long ago as can be.
local spent_at = ({ first, second, third, fourth })[age] or 0
if now - spent_at < grace then
  -- 7. The previous one, a moment ago. After a privilege change a retry must bring forth no token.
  if age == 1 and privileges_changed_at < spent_at then
    return { 'ok', now, 'retried', raw }
  end
  -- 8. A slow tab, not a thief.
  return { 'ok', now, 'superseded' }
end

-- 11. A spent token came back (RFC 9700 §4.14.2).
if ARGV[14] == 'refuse' then
  return { 'ok', now, 'reused' }
end
return kill('reused', 'reuse', ARGV[14] == 'user')
