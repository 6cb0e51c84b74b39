//! What a shard of a Redis store keeps of itself, as nobody but a test reads and writes it.

use crate::redis_server::RedisServer;

/// A number in the `meta` of a shard, in the order of `shard.lua`.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    /// The latest date that was given to a session.
    Told,
    /// That of the last entry of the log.
    Logged,
    /// The latest up to which something was revoked.
    Cut,
    /// The access horizon.
    Access,
    /// The session horizon.
    Session,
    /// The latest up to which entries may have left the log.
    Trimmed,
}

/// The number in the `meta` at `key`, as text; empty without one.
pub fn read(server: &RedisServer, key: &str, field: Field) -> String {
    server.cli(&["EVAL", READ, "1", key, &offset(field)])
}

/// Writes the number in the `meta` at `key`.
///
/// # Panics
///
/// When there is none.
pub fn write(server: &RedisServer, key: &str, field: Field, number: u64) {
    let told = server.cli(&["EVAL", WRITE, "1", key, &offset(field), &number.to_string()]);
    assert_eq!(told, "OK");
}

/// Where it stands: behind the layout, which is one digit, and its zero byte.
fn offset(field: Field) -> String {
    (3 + 8 * field as usize).to_string()
}

const READ: &str = "
    local meta = redis.call('GET', KEYS[1])
    return meta and string.format('%d', (struct.unpack('>d', meta, tonumber(ARGV[1])))) or ''";

const WRITE: &str = "
    local meta, at = redis.call('GET', KEYS[1]), tonumber(ARGV[1])
    return redis.call('SET', KEYS[1],
        string.sub(meta, 1, at - 1) .. struct.pack('>d', ARGV[2]) .. string.sub(meta, at + 8))";
