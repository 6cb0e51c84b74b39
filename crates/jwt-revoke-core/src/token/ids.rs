//! Identifiers, each a type of its own so that none is taken for another.

use std::fmt;

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::{
    clock::Timestamp,
    quoted::{self, Quoted},
};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text as it stands in the token.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text as the value of a field in a log, which it cannot break out of.
            pub fn quoted(&self) -> Quoted<&str> {
                Quoted(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into_boxed_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            /// Escapes what cannot be printed: an identifier comes from outside and ends in log lines.
            /// In a field of a log write [`quoted`](Self::quoted): a space and `=` are not escaped.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                quoted::write_escaped(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text_id! {
    /// Who the token is about: `sub` (RFC 7519 §4.1.2).
    Subject
}
text_id! {
    /// The identifier of one token: `jti` (RFC 7519 §4.1.7).
    Jti
}
text_id! {
    /// The session a token belongs to: `sid` (OpenID Connect Front-Channel Logout 1.0 §3).
    SessionId
}
text_id! {
    /// The OAuth client a token was issued to: `client_id` (RFC 8693 §4.3) or `azp`.
    ClientId
}
text_id! {
    /// The key a token was signed with: `kid` (RFC 7515 §4.1.4), or the key's JWK thumbprint
    /// (RFC 7638) when it has no `kid`.
    KeyId
}

impl SessionId {
    /// A new identifier for a session opened at `opened_at`: a UUIDv7 (RFC 9562 §5.7) whose
    /// milliseconds are that instant.
    pub fn opened_at(opened_at: Timestamp) -> Self {
        uuid_v7(opened_at).to_string().into()
    }

    /// The instant in a UUIDv7, or `None` if the text is not one. Meaningful for our own tokens
    /// only: the UUIDs of other issuers are never read as clocks.
    pub fn instant(&self) -> Option<Timestamp> {
        uuid_instant(self.as_str())
    }
}

impl Jti {
    /// A new identifier for a token made at `made_at`: a UUIDv7 whose milliseconds are that instant.
    pub fn made_at(made_at: Timestamp) -> Self {
        uuid_v7(made_at).to_string().into()
    }

    /// The same, of random bits that the caller has drawn; six of them do not count.
    pub(crate) fn made_of(made_at: Timestamp, random: [u8; 10]) -> Self {
        Builder::from_unix_timestamp_millis(made_at.as_millis(), &random)
            .into_uuid()
            .to_string()
            .into()
    }

    /// The identifier of the token that is made under this one with such a content: another content is
    /// another token, and the same content the same. A UUIDv7 of the same instant; its other bits are those
    /// of a SHA-256 over this identifier and the parts, each preceded by its length in bytes as a 32-bit
    /// big-endian number.
    pub(crate) fn of_content(&self, parts: [&[u8]; 2]) -> Self {
        let mut hash = Sha256::new();
        for part in [b"jti".as_slice(), self.as_str().as_bytes()]
            .into_iter()
            .chain(parts)
        {
            // No token has parts of four gigabytes.
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            hash.update(length.to_be_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        let mut bits = [0; 10];
        bits.copy_from_slice(&hash[..10]);
        Self::made_of(self.instant().unwrap_or(Timestamp::EPOCH), bits)
    }

    /// The instant in a UUIDv7, or `None` if the text is not one. See [`SessionId::instant`].
    pub fn instant(&self) -> Option<Timestamp> {
        uuid_instant(self.as_str())
    }
}

fn uuid_v7(at: Timestamp) -> Uuid {
    // Random behind the instant, and no counter that could push the milliseconds ahead of it.
    let random = Uuid::new_v4().into_bytes();
    let mut bits = [0; 10];
    // Without the two bytes that hold the version and the variant.
    bits[..6].copy_from_slice(&random[..6]);
    bits[6] = random[7];
    bits[7..].copy_from_slice(&random[9..12]);
    Builder::from_unix_timestamp_millis(at.as_millis(), &bits).into_uuid()
}

fn uuid_instant(text: &str) -> Option<Timestamp> {
    // Only the one form that we write: lower case, hyphens. Other spellings are other identifiers.
    let uuid = Uuid::try_parse(text)
        .ok()
        .filter(|uuid| uuid.get_version_num() == 7)?;
    let mut canonical = Uuid::encode_buffer();
    if uuid.hyphenated().encode_lower(&mut canonical) != text {
        return None;
    }
    let bits = uuid.as_u128() >> 80;
    u64::try_from(bits).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_carries_its_instant_to_the_millisecond() {
        for millis in [0, 1, 999, 1_700_000_000_123, (1 << 48) - 1] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(SessionId::opened_at(at).instant(), Some(at));
        }
    }

    #[test]
    fn ids_made_in_one_millisecond_differ() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        assert_ne!(Jti::made_at(at), Jti::made_at(at));
    }

    #[test]
    fn an_id_of_a_content_is_the_same_for_the_same_content_only() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let base = Jti::made_at(at);
        let of = |base: &Jti, parts: [&str; 2]| base.of_content(parts.map(str::as_bytes));
        assert_eq!(of(&base, ["read", "{}"]), of(&base, ["read", "{}"]));
        assert_eq!(of(&base, ["read", "{}"]).instant(), Some(at));
        let ids = [
            of(&base, ["read", "{}"]),
            of(&base, ["read write", "{}"]),
            of(&base, ["read", "{ }"]),
            of(&base, ["rea", "d{}"]),
            of(&base, ["", ""]),
            of(&Jti::made_at(at), ["read", "{}"]),
            base,
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn only_our_own_spelling_of_a_version_7_uuid_is_read_as_a_clock() {
        let v4 = "0b6c3c52-6b3d-4f0e-8f38-9b5f3c1f6a01";
        let upper = SessionId::opened_at(Timestamp::from_millis(1))
            .as_str()
            .to_uppercase();
        for text in [
            "",
            "session-1",
            v4,
            &upper,
            "018bcfe568fb7000a000000000000000",
        ] {
            assert_eq!(SessionId::from(text).instant(), None, "{text}");
        }
    }

    #[test]
    fn a_line_break_in_an_identifier_cannot_forge_a_log_line() {
        assert_eq!(Jti::from("a\r\nb\u{0}").to_string(), "a\\r\\nb\\0");
        assert_eq!(
            Jti::from("a\u{2028}\u{202e}b c").to_string(),
            "a\\u{2028}\\u{202e}b c"
        );
    }
}
