-- legacy.lua: write the key by which other services know a revoked `jti`.
--   KEYS[1]  {legacy prefix}{jti}
--   ARGV[1]  how long it must live, ms
--   returns  {"ok"}
--
-- A script, because a life that others made longer must not be cut.

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
else
  local left = redis.call('PTTL', KEYS[1])
  if left >= 0 and left < tonumber(ARGV[1]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
  end
end
return { 'ok' }
