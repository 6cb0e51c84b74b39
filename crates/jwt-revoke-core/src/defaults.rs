//! Every default of the workspace, in one place.

use std::time::Duration;

/// How long an access token of ours lives.
pub const ACCESS_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The longest life of a token that a verifier accepts, from `iat` (or from now) to `exp`.
///
/// A token that outlives its denylist entry would revive, so the cap bounds the denylist too.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest life of a session, from login to its last refresh.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The slack granted on `exp`, `nbf` and `iat` of another issuer's tokens.
pub const LEEWAY: Duration = Duration::from_secs(0);

/// The largest leeway that can be set ("usually no more than a few minutes", RFC 7519 §4.1.4).
pub const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// Added to both horizons: entries outlive the tokens they stop, whatever the clocks of a fleet do.
pub const HORIZON_MARGIN: Duration = Duration::from_secs(5 * 60);

/// The longest horizon that a store is asked for: a hundred years. A server cannot count much further,
/// and an entry that it cannot keep is a revocation that it refuses.
pub const LONGEST_HORIZON: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// How far ahead of the store's clock a cutoff may lie. It could never be lowered again.
pub const MAX_CUTOFF_AHEAD: Duration = Duration::from_secs(5);

/// Added to a cutoff of our own making for another issuer's tokens, whose clock may be ahead.
pub const FOREIGN_SKEW: Duration = Duration::from_secs(5);

/// The longest token text that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The longest token header that is looked at, in bytes of JSON.
pub const MAX_HEADER_BYTES: usize = 2 * 1024;

/// The most elements of `aud`, and of a claim that is a revocation dimension.
pub const MAX_CLAIM_ELEMENTS: usize = 16;

/// The most digits before and after the decimal point of a number that is a revocation dimension.
/// Enough for each double.
pub const MAX_NUMBER_DIGITS: usize = 400;

/// The longest identifier in a token (`iss`, `sub`, an element of `aud`, `jti`, `sid`, `client_id`,
/// `azp`, `kid`), in bytes.
pub const MAX_ID_BYTES: usize = 1024;

/// The most members of a token's claims.
pub const MAX_CLAIMS: usize = 256;

/// The most members of a token's header.
pub const MAX_HEADER_MEMBERS: usize = 32;

/// The most keys in one set.
pub const MAX_KEYS: usize = 64;

/// The longest JWK set that is read, in bytes.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;

/// The most keys that a token without a `kid` is tried against.
pub const MAX_KEYS_TRIED: usize = 4;

/// How far ahead of this host's clock the clock of an issuer or a store may be: a token must work the
/// moment it is issued. Beyond, `iat`, `nbf` and the birth of a session are in the future.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// The bits of an RSA key that is generated.
pub const RSA_BITS: usize = 2048;

/// How long a check may wait for the store.
pub const CHECK_TIMEOUT: Duration = Duration::from_millis(50);

/// The most checks that wait for a store at a time. Beyond, they fail at once: what comes in faster than
/// the store answers must not pile up.
pub const MAX_WAITING_CHECKS: usize = 2_048;

/// How long a write (revoke, login) may wait for the store.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long connecting to a store may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a shard that lost its data answers "unknown" so that others can put back what they know.
pub const HEALING: Duration = Duration::from_secs(3);

/// The prefix of all keys in Redis.
pub const KEY_PREFIX: &str = "jr";

/// What `Retry-After` says when the store does not answer.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The most entries of the audit stream, a shard.
pub const AUDIT_ENTRIES: u64 = 10_000;

/// The longest text that one field of an audit entry keeps, in bytes; the rest is cut off.
pub const AUDIT_TEXT_BYTES: usize = 1024;

/// How far the clock may stand behind the last instant an embedded store has seen for the store to
/// open all the same. Entries stay this much longer than their horizon, so that no token comes
/// alive in a process whose clock was set back.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(60 * 60);

/// How long the host's clock runs without a step before a process relies on it: an embedded store forgets nothing
/// by a clock that was set since, and a step ahead that is put right within this time is followed back.
pub const CLOCK_SETTLES: Duration = Duration::from_secs(60 * 60);

/// How long a process runs on after its host's clock was set back, before it follows.
pub const CLOCK_PATIENCE: Duration = Duration::from_secs(60);

/// How far ahead an embedded store reserves instants in its file, so that telling the time needs no
/// write. After a crash its clock may stand still for this long.
pub const CLOCK_RESERVATION: Duration = Duration::from_secs(2);

/// How often an embedded store forgets entries that no token needs any more.
pub const PURGE_INTERVAL: Duration = Duration::from_secs(60);

/// The most entries an embedded store forgets in one transaction.
pub const PURGE_SLICE: usize = 4096;

/// The most revocations an embedded store commits in one transaction, unless one call brings more.
pub const EMBEDDED_BATCH: usize = 16_384;

/// The most revocations that may wait for an embedded store's disk. Beyond, writes are refused.
pub const EMBEDDED_WAITING: usize = 131_072;

/// How much of its file an embedded store caches for writing, in bytes. Lookups need none of it.
pub const EMBEDDED_CACHE_BYTES: usize = 32 * 1024 * 1024;
/// How often a process looks whether all shards of its store have their data, even while nobody asks.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// How old the copy of a store may be from which a check is answered.
pub const MAX_STALENESS: Duration = Duration::from_secs(1);

/// The shortest such age that can be asked for.
pub const SHORTEST_STALENESS: Duration = Duration::from_millis(100);

/// The most entries of a store that a process keeps a copy of, about 70 B each.
pub const REPLICA_ENTRIES: usize = 4_000_000;

/// How often an open connection asks the store whether its token still gives access, where this process
/// does not know. Each wait is between half of this and all of it, so that many do not ask at once.
pub const ENDED_POLL: Duration = Duration::from_secs(1);

/// How often it looks where this process knows; more often where the copy must be younger than
/// [`MAX_STALENESS`]: four times in what is asked for.
pub const ENDED_GLANCE: Duration = Duration::from_millis(250);

/// How long a connection stays open while the store does not say whether its token was revoked. Longer
/// than [`HEALING`], so that a store that is put right in time ends nothing.
pub const ENDED_UNKNOWN: Duration = Duration::from_secs(5);

/// What a guard is called in metrics and spans.
pub const GUARD_NAME: &str = "default";

/// How often a Redis store sets its gauges by itself.
pub const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// What the cache of verified tokens takes at most, in bytes: about 20,000 usual tokens.
pub const TOKEN_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// The longest token text that is cached, in bytes. Longer ones are verified each time.
pub const MAX_CACHED_TOKEN_BYTES: usize = 4 * 1024;

/// The most JSON that an application may add to a token, in bytes.
pub const MAX_OWN_CLAIMS_BYTES: usize = 1024;

/// How often the log tells of tokens that are refused for one and the same reason.
pub const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How often the log tells of an outage that goes on.
pub const OUTAGE_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The `client_id` in tokens of a login without an OAuth client: the application itself.
pub const CLIENT_ID: &str = "first-party";

/// How long after it was spent a refresh token still gets its successor, once more.
pub const GRACE: Duration = Duration::from_secs(30);

/// How long a refresh token lives, and with it a session that is not used.
pub const REFRESH_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How far behind the store's clock a session may be dated when it is opened.
pub const MAX_OPENING_AGE: Duration = Duration::from_secs(60);

/// How many sessions a user may have at a time.
pub const SESSIONS_PER_USER: u32 = 100;

/// For how long a repeated [`Sessions::revoke_all`](crate::session::Sessions::revoke_all) that finds no session
/// is the same act as the first: a client that tries again, or an impatient click. Events tell of it once.
pub const REVOKE_ALL_REPEATED: Duration = Duration::from_secs(5 * 60);

/// The longest device label that is kept, in bytes; the rest is cut off.
pub const MAX_DEVICE_BYTES: usize = 128;

/// How long the application may take to say whether a user is still welcome.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest body that the companion routes read, in bytes: two tokens and some.
pub const MAX_BODY_BYTES: usize = 2 * MAX_TOKEN_BYTES + 1024;

/// The largest cookie that browsers keep, name and value together, in bytes (RFC 6265 §6.1).
pub const MAX_COOKIE_BYTES: usize = 4096;

/// The longest `Path` of a cookie that browsers heed, in bytes (RFC 6265bis §5.6).
pub const MAX_COOKIE_PATH_BYTES: usize = 1024;

/// The longest form that an OAuth endpoint reads, in bytes.
pub const MAX_FORM_BYTES: usize = 16 * 1024;

/// The most parameters of such a form.
pub const MAX_FORM_PARAMETERS: usize = 64;

/// The fewest characters of an OAuth client's secret: 128 bits and more, if it was made at random.
pub const MIN_CLIENT_SECRET_BYTES: usize = 32;

/// How long others may keep the public keys and the metadata document. A new key should be published
/// that long before it signs.
pub const DOCUMENT_MAX_AGE: Duration = Duration::from_secs(5 * 60);
