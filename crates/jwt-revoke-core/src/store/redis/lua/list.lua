-- list.lua: a page of the sessions of a user that have not expired, the oldest first.
--   ARGV[10]  from which opening on
--   ARGV[11]  how many members of the index to look at
--   returns   {"ok", now, "more" | "end", opening of the last member, {sid, record}..}
--             | {"lost"} | {"healing"} | {"layout", the layout found}

local members = redis.call('ZRANGEBYSCORE', INDEX, ARGV[10], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[11])
local full = #members == 2 * tonumber(ARGV[11])
answer = { 'ok', now, full and 'more' or 'end', members[#members] or ARGV[10] }
for i = 1, #members, 2 do
  local record = read_ours(ARGV[7] .. members[i])
  if record and not is_expired(record, now) then
    answer[#answer + 1] = { members[i], record.raw }
  end
end
return answer
