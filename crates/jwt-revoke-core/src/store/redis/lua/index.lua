-- index.lua: the life of a user's index. It stands behind session.lua.

-- Lets the index live at least until `deadline` on the server's clock, and puts the session back that
-- was lost from it. Returns until when it lives now: a sixteenth longer than it must, so that few
-- refreshes have to look. One that is lost before is not missed until then: a refresh reads strings, of which
-- the index is none, so to look each time would be one more command each time. It shares a shard with the
-- records, whose loss is noticed, and no script of ours deletes it.
local function keep_index(deadline, sid, opened_at)
  local score = string.format('%.0f', opened_at)
  local added = redis.pcall('ZADD', INDEX, score, sid)
  if type(added) == 'table' then
    -- One of another type is lost, and made once more.
    if string.find(added.err, 'WRONGTYPE', 1, true) then
      redis.call('DEL', INDEX)
    end
    redis.call('ZADD', INDEX, score, sid)
  end
  local clock = shown()
  local life = math.max(deadline - clock, 1)
  local left = redis.call('PTTL', INDEX)
  if left < life + life / 32 then
    left = math.ceil(life + life / 16)
    redis.call('PEXPIRE', INDEX, string.format('%.0f', left))
  end
  return clock + left
end

