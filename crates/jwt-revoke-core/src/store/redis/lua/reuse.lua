-- reuse.lua: the end of rotate.lua, for a token that is not the live one: a retry, or theft.

-- Ends the session, and with `user` all that the user has opened until now.
local function kill(outcome, cause, user)
  if ARGV[10] ~= 'rotate' then
    return { 'ok', clock, outcome, '', {} }
  end
  local shard, session = prepare(clock), string.sub(KEYS[7], #ARGV[7] + 1)
  -- The record may have been used by a clock that was ahead and has been put right. A cutoff up to there
  -- would keep the user out until then, and no mirror would believe it. So it is as far ahead as any may
  -- be, and what was opened later still, which was by that clock, ends as this session does: by an entry
  -- of its own that holds for ever, whenever its tokens were born.
  local cutoff, later = math.min(math.max(now, shard.now), shard.now + AHEAD), {}
  if user then
    for _, sid in ipairs(redis.call('ZRANGEBYSCORE', INDEX, '(' .. whole(cutoff), '+inf')) do
      -- What is no record must not keep the others from being ended.
      local ours, other = pcall(read, ARGV[7] .. sid)
      if ours and other and sid ~= session then
        redis.call('EXISTS', ARGV[8] .. other.entry)
        later[#later + 1] = { sid = sid, entry = other.entry }
      end
    end
  end
  local written = {}
  end_session(shard, written, session, string.sub(KEYS[8], #ARGV[8] + 1), cause)
  if user then
    -- Tokens may be born until the cutoff, so the entry lives from there.
    local life = shard.session + cutoff - shard.now
    revoke(shard, written, KEYS[9], string.sub(KEYS[9], #ARGV[8] + 1), cutoff, life, 'subject', ARGV[15], cause)
  end
  for _, other in ipairs(later) do
    end_session(shard, written, other.sid, other.entry, cause)
  end
  return { 'ok', shard.now, outcome, '', written }
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
    return { 'ok', clock, 'retried', raw }
  end
  -- 8. A slow tab, not a thief.
  return { 'ok', clock, 'superseded' }
end

-- 11. A spent token came back (RFC 9700 §4.14.2).
if ARGV[14] == 'refuse' then
  return { 'ok', clock, 'reused' }
end
return kill('reused', 'reuse', ARGV[14] == 'user')
