#!lua flags=allow-oom
-- check.lua: what MGET answers, from a primary that may be written.
--   KEYS[1..]  what is asked for
--   returns    the value of each key, false where there is none
--
-- It writes nothing, and does not say so (`no-writes`): since Redis 7 a server then refuses it before it
-- runs, where it would refuse a write, as a replica (READONLY) and as a primary that has lost its
-- replicas (NOREPLICAS, by `min-replicas-to-write`). Only room it needs none. Nothing is replicated.

return redis.call('MGET', unpack(KEYS))
