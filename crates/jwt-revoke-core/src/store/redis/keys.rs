//! The names of all keys, and the slots they lie in.

use crate::{
    revocation::{Digest, Shard},
    store::redis::words::Words,
    token::SessionId,
};

/// The version of what is stored under these names.
pub(super) const LAYOUT: &str = "1";

/// What stands before a digest, or a `sid`, in the name of a key.
const DENY: &[u8] = b"deny:";
const SESSION: &[u8] = b"session:";

/// The hash tags of the shards, which stand in braces in every key. Part of the layout: they can
/// never change. The slot of tag `n` lies in the middle of the `n`th sixteenth of a Cluster's
/// slots, so that however many primaries share the slots evenly, they share the shards evenly.
const TAGS: [&str; 16] = [
    "04s", "15s", "26s", "37s", "40s", "51s", "62s", "73s", "83r", "92r", "aoo", "b1h", "c00",
    "d7h", "eko", "fy5",
];

/// How many slots a Cluster has.
const SLOTS: u16 = 16_384;

/// The keys of one deployment: everything under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// What stands before the name of a key of each shard.
    before: [Box<str>; TAGS.len()],
}

impl Keys {
    /// Keys under `prefix`, which holds no braces: they would move the hash tag.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            before: TAGS.map(|tag| format!("{prefix}:{{{tag}}}:").into()),
        }
    }

    /// The mark of a shard that has its data.
    pub(super) fn epoch(&self, shard: Shard) -> String {
        self.named(shard, "epoch")
    }

    /// The mark of a shard that has not got all of it back yet.
    pub(super) fn healing(&self, shard: Shard) -> String {
        self.named(shard, "healing")
    }

    /// What changed, for replicas.
    pub(super) fn log(&self, shard: Shard) -> String {
        self.named(shard, "log")
    }

    /// Of what changed, the entries that tokens need longer than the log is kept.
    pub(super) fn lasting(&self, shard: Shard) -> String {
        self.named(shard, "lasting")
    }

    /// Held by whoever puts back what a shard lost.
    pub(super) fn healer(&self, shard: Shard) -> String {
        self.named(shard, "healer")
    }

    /// What the shard says of itself.
    pub(super) fn meta(&self, shard: Shard) -> String {
        self.named(shard, "meta")
    }

    /// Held by the process that logs the entries of a shard once more.
    pub(super) fn relogger(&self, shard: Shard) -> String {
        self.named(shard, "relogger")
    }

    /// What stands before the digest in the name of an entry.
    pub(super) fn before_digest(&self, shard: Shard) -> String {
        self.named(shard, "deny:")
    }

    /// An entry.
    pub(super) fn deny(&self, shard: Shard, digest: &Digest) -> String {
        let mut key = self.named(shard, "deny:");
        key.extend(digest.hex().map(char::from));
        key
    }

    /// Adds an entry to the keys of a script.
    pub(super) fn add_deny(&self, words: &mut Words, shard: Shard, digest: &Digest) {
        words.key_of([self.before(shard), DENY, &digest.hex()]);
    }

    /// Adds what stands before the digest in the key of an entry to the arguments of a script.
    pub(super) fn add_before_digest(&self, words: &mut Words, shard: Shard) {
        words.word_of([self.before(shard), DENY]);
    }

    /// The record of a session; `None` for a name that is none of ours and may stand in no key.
    pub(super) fn session(&self, shard: Shard, session: &SessionId) -> Option<String> {
        is_session(session).then(|| self.named(shard, "session:") + session.as_str())
    }

    /// Adds the record of a session to the keys of a script. The name must be [one of ours](is_session).
    pub(super) fn add_session(&self, words: &mut Words, shard: Shard, session: &SessionId) {
        debug_assert!(is_session(session), "a session that may stand in no key");
        words.key_of([self.before(shard), SESSION, session.as_str().as_bytes()]);
    }

    /// Adds the mark that a session was ended to the keys of a script. The name must be [one of ours](is_session).
    pub(super) fn add_ended(&self, words: &mut Words, shard: Shard, session: &SessionId) {
        debug_assert!(is_session(session), "a session that may stand in no key");
        words.key_of([self.before(shard), b"ended:", session.as_str().as_bytes()]);
    }

    /// Adds the mark that a session is being ended because of reuse or a fork to the keys of a script. The name
    /// must be [one of ours](is_session).
    pub(super) fn add_ending(&self, words: &mut Words, shard: Shard, session: &SessionId) {
        debug_assert!(is_session(session), "a session that may stand in no key");
        words.key_of([self.before(shard), b"ending:", session.as_str().as_bytes()]);
    }

    /// Adds what stands before the `sid` in the key of a session's record to the arguments of a script.
    pub(super) fn add_before_session(&self, words: &mut Words, shard: Shard) {
        words.word_of([self.before(shard), SESSION]);
    }

    /// Adds the sessions of the user with this digest to the keys of a script.
    pub(super) fn add_user(&self, words: &mut Words, shard: Shard, subject: &Digest) {
        words.key_of([self.before(shard), b"user:", &subject.hex()]);
    }

    /// The keys that every script of a shard is given first, in the order of `shard.lua`.
    pub(super) fn of_script(&self, shard: Shard) -> Words {
        let mut words = Words::new();
        for name in ["meta", "epoch", "healing", "log", "audit"] {
            words.key_of([self.before(shard), name.as_bytes()]);
        }
        words
    }

    /// A key of ours in the slot of `key`, which may be another service's.
    pub(super) fn beside(&self, key: &str, name: &str) -> String {
        // All begin with the prefix.
        let prefix = self.before[0]
            .split_once(":{")
            .map_or("", |(prefix, _)| prefix);
        format!("{prefix}:{{{}}}:{name}", hashed(key))
    }

    fn before(&self, shard: Shard) -> &[u8] {
        self.before[usize::from(shard.number()) % TAGS.len()].as_bytes()
    }

    fn named(&self, shard: Shard, name: &str) -> String {
        let before = &*self.before[usize::from(shard.number()) % TAGS.len()];
        // With room for an identifier behind it.
        let mut key = String::with_capacity(before.len() + name.len() + 36);
        key.push_str(before);
        key.push_str(name);
        key
    }
}

/// Whether `jti` may become part of another service's key. Anything else could name a key of
/// another kind, or be written in two ways.
pub(super) fn is_legacy_jti(jti: &str) -> bool {
    (1..=128).contains(&jti.len())
        && jti
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Whether a name can be that of a session of ours, and so stand in a key.
pub(super) fn is_session(session: &SessionId) -> bool {
    let session = session.as_str();
    (1..=64).contains(&session.len())
        && session
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The slot in which all keys of a shard lie.
pub(super) fn shard_slot(shard: Shard) -> u16 {
    slot(tag(shard))
}

/// The slot of a key: CRC16 of the hash tag, or of the whole key without one.
pub(super) fn slot(key: &str) -> u16 {
    crc16(hashed(key).as_bytes()) % SLOTS
}

/// The part of a key that decides where it lies: the hash tag, or all of it without one.
fn hashed(key: &str) -> &str {
    let tagged = key.split_once('{').and_then(|(_, rest)| {
        let (tag, _) = rest.split_once('}')?;
        (!tag.is_empty()).then_some(tag)
    });
    tagged.unwrap_or(key)
}

fn tag(shard: Shard) -> &'static str {
    TAGS[usize::from(shard.number()) % TAGS.len()]
}

/// CRC-16/XMODEM, as the Cluster specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::{Dimension, SHARDS};

    #[test]
    fn the_checksum_is_that_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot("foo{bar}{zap}"), slot("bar"));
        assert_eq!(slot("foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
    }

    #[test]
    fn r8_the_slots_of_the_shards_are_spread_evenly() {
        let width = SLOTS / u16::from(SHARDS);
        for shard in Shard::all() {
            assert_eq!(shard_slot(shard) / width, u16::from(shard.number()));
        }
    }

    #[test]
    fn all_keys_of_a_shard_lie_in_one_slot() {
        let keys = Keys::new("jr");
        let digest = Digest::of(&Dimension::Jti, "iss", b"x");
        for shard in Shard::all() {
            let mut names = keys.of_script(shard).texts();
            names.push(keys.deny(shard, &digest));
            names.extend(keys.session(shard, &"a-b".into()));
            let mut words = Words::new();
            keys.add_user(&mut words, shard, &digest);
            keys.add_deny(&mut words, shard, &digest);
            keys.add_session(&mut words, shard, &"a-b".into());
            assert_eq!(words.texts()[1..], names[5..]);
            names.push(words.texts().swap_remove(0));
            assert_eq!(names.len(), 8);
            assert!(names.iter().all(|name| slot(name) == shard_slot(shard)));
        }
    }

    #[test]
    fn names_never_change() {
        let keys = Keys::new("jr");
        let shard = Shard::new(10).unwrap();
        let digest = Digest::of(&Dimension::Subject, "https://auth.example.com", b"alice");
        let mut words = keys.of_script(shard);
        keys.add_user(&mut words, shard, &digest);
        let names = words.texts();
        assert_eq!(names[0], "jr:{aoo}:meta");
        assert_eq!(
            keys.deny(shard, &digest),
            "jr:{aoo}:deny:96209b6d8bb8f678cfe426be1422cd19"
        );
        assert_eq!(names[5], "jr:{aoo}:user:96209b6d8bb8f678cfe426be1422cd19");
        let session = keys.session(shard, &"0190-b0".into());
        assert_eq!(session.as_deref(), Some("jr:{aoo}:session:0190-b0"));
    }

    #[test]
    fn t11_a_session_that_could_name_another_key_has_no_record() {
        let (keys, shard) = (Keys::new("jr"), Shard::new(0).unwrap());
        for session in ["", "a:b", "a{b}", "a*", "a\n", "ä", &"a".repeat(65)] {
            assert_eq!(keys.session(shard, &session.into()), None, "{session:?}");
        }
    }

    #[test]
    fn t11_a_jti_that_could_name_another_key_is_no_legacy_jti() {
        for jti in ["", "a:b", "a{b}", "a*", "a\n", "ä", &"a".repeat(129)] {
            assert!(!is_legacy_jti(jti), "{jti:?}");
        }
        assert!(is_legacy_jti("0190b0a4-7e6f-7000-8000-0123456789ab"));
    }
}
