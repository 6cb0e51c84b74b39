//! The text of a token: three parts of base64url (RFC 7515 §7.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{defaults, verify::VerifyError};

/// The parts of a token, as text.
#[derive(Clone, Copy)]
pub(super) struct Compact<'a> {
    pub(super) header: &'a str,
    pub(super) payload: &'a str,
    pub(super) signature: &'a str,
    /// What is signed: header, dot, payload.
    pub(super) signed: &'a str,
}

impl<'a> Compact<'a> {
    /// Splits a token of bounded length into exactly three parts; nothing is decoded.
    pub(super) fn split(token: &'a str) -> Result<Self, VerifyError> {
        if token.len() > defaults::MAX_TOKEN_BYTES {
            return Err(VerifyError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(VerifyError::NotCompact)?;
        if payload.contains('.') {
            return Err(VerifyError::NotCompact);
        }
        Ok(Self {
            header,
            payload,
            signature,
            signed,
        })
    }
}

/// Decodes base64url without padding. Trailing bits must be zero, so that one value has one text
/// (RFC 4648 §3.5).
pub(super) fn decode(text: &str) -> Result<Vec<u8>, VerifyError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| VerifyError::NotCompact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t9_only_three_parts_are_a_token() {
        for text in ["", ".", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "....."] {
            assert!(Compact::split(text).is_err(), "{text}");
        }
        assert!(Compact::split("a.b.c").is_ok());
        assert!(Compact::split(&"a".repeat(1 << 20)).is_err());
    }

    #[test]
    fn t9_one_value_has_one_text() {
        assert_eq!(decode("AQ"), Ok(vec![1]));
        // Padding, trailing bits, the other alphabet, white space.
        for text in ["AQ==", "AR", "A+", "A/", " AQ", "AQ\n", "A", "A\0", "é"] {
            assert_eq!(decode(text), Err(VerifyError::NotCompact), "{text:?}");
        }
    }
}
