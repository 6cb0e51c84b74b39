-- reuse.lua: the end of rotate.lua, for a token that is not the live one: a retry, or theft.

-- The mark that a session is being ended, or was: the attempt; how far it has come; the cutoff of the user,
-- which a repetition must not raise, or it would end what was opened since; the outcome.
local ENDING = '>c16c1d'
local OF_USER, OF_SESSION, DONE = 'u', 's', 'd'

-- Ends the session, and with `user` all that the user has opened until the cutoff.
--
-- First the mark, which `maxmemory` can refuse, and last the records: a script that fails between is
-- repeated with the next token of the session that is presented, whichever it is, and nothing of it is
-- missing then, neither in the store nor in what is reported.
local function kill(outcome, cause, user, cutoff)
  if ARGV[10] == 'look' then
    return { 'ok', clock, outcome, '', {} }
  end
  local shard, session = prepare(clock), string.sub(KEYS[7], #ARGV[7] + 1)
  -- The record may have been used by a clock that was ahead and has been put right. A cutoff up to there
  -- would keep the user out until then, and no mirror would believe it. So it is as far ahead as any may
  -- be, and what was opened later still, which was by that clock, ends as this session does: by an entry
  -- of its own that holds for ever, whenever its tokens were born.
  local later = {}
  cutoff = cutoff or math.min(math.max(now, shard.now), shard.now + AHEAD)
  if user then
    -- When this is a repetition, what was opened since goes on.
    local from = '(' .. whole(math.max(cutoff, shard.now))
    local members = redis.pcall('ZRANGEBYSCORE', INDEX, from, '+inf')
    if members.err and not is_other(members) then
      redis.call('ZRANGEBYSCORE', INDEX, from, '+inf') -- Raises it.
    end
    for _, sid in ipairs(members) do
      local other = sid ~= session and read_ours(ARGV[7] .. sid)
      if other then
        redis.call('EXISTS', ARGV[8] .. other.entry)
        later[#later + 1] = { sid = sid, entry = other.entry }
      end
    end
  end
  local mark = KEYS[#KEYS]
  redis.call('SET', mark, struct.pack(ENDING, attempt, user and OF_USER or OF_SESSION, cutoff) .. outcome,
    'PX', whole(shard.session))
  local written = {}
  if user then
    -- Tokens may be born until the cutoff, so the entry lives from there.
    local life = shard.session + math.max(cutoff - shard.now, 0)
    revoke(shard, written, KEYS[9], string.sub(KEYS[9], #ARGV[8] + 1), cutoff, life, 'subject', ARGV[15], cause)
  end
  revoke_session(shard, written, session, string.sub(KEYS[8], #ARGV[8] + 1), cause)
  for _, other in ipairs(later) do
    revoke_session(shard, written, other.sid, other.entry, cause)
  end
  drop_session(session)
  for _, other in ipairs(later) do
    drop_session(other.sid)
  end
  redis.call('SET', mark, struct.pack(ENDING, attempt, DONE, cutoff) .. outcome, 'PX', ARGV[9])
  return { 'ok', shard.now, outcome, '', written }
end

if is_ending then
  local by, stage, cutoff, at = struct.unpack(ENDING, ending)
  local outcome = string.sub(ending, at)
  if stage ~= DONE then
    return kill(outcome, outcome == 'forked' and 'fork' or 'reuse', stage == OF_USER, cutoff)
  end
  return { 'ok', now, by == attempt and outcome or 'ended', '', {} }
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
