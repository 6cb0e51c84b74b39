//! Where in a sharded store an entry lies.

use std::fmt;

use crate::{
    revocation::digest::hash_parts,
    token::{Jti, Subject},
};

/// How many shards a store has. Part of the layout: it can never change.
pub const SHARDS: u8 = 16;

/// The part of a store in which all entries and sessions of one user lie, so that one command
/// checks a token and one script changes all that must change together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl Shard {
    /// The shard with the number 0.
    pub const FIRST: Self = Self(0);

    /// The shard of a user: SHA-256 over issuer and subject, each preceded by its length as a 32-bit
    /// big-endian number; of the hash the first 8 bytes as a big-endian number, modulo 16.
    pub fn of_subject(issuer: &str, subject: &Subject) -> Self {
        Self::of(issuer, subject.as_str())
    }

    /// The shard of a token that has no subject: the same over issuer and `jti`.
    pub fn of_jti(issuer: &str, jti: &Jti) -> Self {
        Self::of(issuer, jti.as_str())
    }

    /// The shard of a token that has neither subject nor `jti`.
    pub fn of_issuer(issuer: &str) -> Self {
        Self::of(issuer, "")
    }

    /// The shard with this number; `None` from [`SHARDS`] on.
    pub const fn new(number: u8) -> Option<Self> {
        if number < SHARDS {
            Some(Self(number))
        } else {
            None
        }
    }

    /// All shards, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..SHARDS).map(Self)
    }

    /// From 0 to 15.
    pub const fn number(self) -> u8 {
        self.0
    }

    fn of(issuer: &str, value: &str) -> Self {
        let hash = hash_parts(&[issuer.as_bytes(), value.as_bytes()]);
        // The first eight bytes modulo 16 are the low four bits of the eighth.
        Self(hash[7] % SHARDS)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Which shards an entry is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// The shard of the one user it concerns.
    One(Shard),
    /// Every shard: it concerns tokens of many users, or of a user that the caller did not name.
    Wide,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_of_a_subject_never_changes() {
        // Computed apart, with Python's hashlib and struct.
        let shard = Shard::of_subject("https://auth.example.com", &"alice".into());
        assert_eq!(shard.number(), 5);
    }

    #[test]
    fn subjects_are_spread_over_all_shards() {
        let mut seen = [0_u32; SHARDS as usize];
        for n in 0..1600 {
            let shard = Shard::of_subject("https://auth.example.com", &format!("user-{n}").into());
            seen[usize::from(shard.number())] += 1;
        }
        assert!(
            seen.iter().all(|count| (50..200).contains(count)),
            "{seen:?}"
        );
    }
}
