//! The identity of an entry.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::revocation::Dimension;

/// The fleet-wide identity of what a revocation names: SHA-256, truncated to 128 bits, over
/// dimension, issuer and value, each preceded by its length in bytes as a 32-bit big-endian number.
///
/// Keys, log entries and replicas hold digests and nothing else: they are bounded, nothing in a
/// token can shape them, and they hold nothing personal. Qualified by issuer, so that the same
/// `sub` at two issuers is two entries.
///
/// ```
/// use jwt_revoke_core::revocation::{Digest, Dimension};
///
/// let digest = Digest::of(&Dimension::Subject, "https://auth.example.com", b"alice");
/// assert_eq!(digest.to_string(), "96209b6d8bb8f678cfe426be1422cd19");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of `value` in `dimension` at `issuer`.
    pub fn of(dimension: &Dimension, issuer: &str, value: &[u8]) -> Self {
        let full = hash_parts(&[dimension.name().as_bytes(), issuer.as_bytes(), value]);
        let mut short = [0; 16];
        short.copy_from_slice(&full[..16]);
        Self(short)
    }

    /// A digest from its bytes, as a store has kept them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The digest as 32 lower-case hexadecimal digits.
    pub fn hex(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.hex();
        f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// SHA-256 over parts, each preceded by its length, so that no two lists of parts are one text.
pub(crate) fn hash_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        // A token is at most some kilobytes, and so is each of its parts.
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        hasher.update(length.to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::ClaimName;

    #[test]
    fn t11_parts_cannot_be_moved_across_their_borders() {
        let of = |issuer, value: &str| Digest::of(&Dimension::Jti, issuer, value.as_bytes());
        assert_ne!(of("a", "bc"), of("ab", "c"));
        assert_ne!(of("", "user:alice"), of("user:", "alice"));
    }

    #[test]
    fn t12_the_same_value_at_two_issuers_is_two_entries() {
        let of = |issuer| Digest::of(&Dimension::Subject, issuer, b"alice");
        assert_ne!(of("https://a.example"), of("https://b.example"));
    }

    #[test]
    fn t11_a_jti_named_like_another_key_stays_a_jti() {
        let tenant = Dimension::Claim(ClaimName::new("tenant").unwrap());
        let dimensions = [
            Dimension::Jti,
            Dimension::Session,
            Dimension::Subject,
            Dimension::Client,
            Dimension::Issuer,
            Dimension::Key,
            Dimension::OtherSessions,
            Dimension::KeptSession,
            tenant,
        ];
        let digests: std::collections::HashSet<_> = dimensions
            .iter()
            .map(|dimension| Digest::of(dimension, "iss", b"x"))
            .collect();
        assert_eq!(digests.len(), dimensions.len());
    }
}
