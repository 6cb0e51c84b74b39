//! The `Bearer` scheme of the `Authorization` header.

/// Why an `Authorization` header holds no bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BearerError {
    /// Another scheme, such as `Basic`: there is no token here.
    #[error("the authorization scheme is not bearer")]
    OtherScheme,
    /// The scheme is `Bearer`, what follows is not one `b64token` (RFC 6750 §2.1).
    #[error("the bearer token is malformed")]
    Malformed,
}

/// The token in the value of an `Authorization` header (RFC 6750 §2.1), the scheme in any case
/// (RFC 9110 §11.1) and one or more spaces after it.
///
/// # Errors
///
/// [`BearerError::OtherScheme`] when the header is for somebody else, [`BearerError::Malformed`]
/// when it is ours but holds nothing, or anything but one run of `b64token` characters.
///
/// ```
/// use jwt_revoke_core::token::{BearerError, bearer};
///
/// assert_eq!(bearer(b"bearer  abc.def.ghi"), Ok("abc.def.ghi"));
/// assert_eq!(bearer(b"Basic YTpi"), Err(BearerError::OtherScheme));
/// assert_eq!(bearer(b"Bearer a b"), Err(BearerError::Malformed));
/// ```
pub fn bearer(value: &[u8]) -> Result<&str, BearerError> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = value
        .split_at_checked(SCHEME.len())
        .ok_or(BearerError::OtherScheme)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(BearerError::OtherScheme);
    }
    match rest.first() {
        None => return Err(BearerError::Malformed),
        Some(b' ') => {}
        Some(_) => return Err(BearerError::OtherScheme), // "BearerX ..": another scheme.
    }
    let start = rest
        .iter()
        .position(|b| *b != b' ')
        .ok_or(BearerError::Malformed)?;
    let token = &rest[start..];
    if !is_b64token(token) {
        return Err(BearerError::Malformed);
    }
    std::str::from_utf8(token).map_err(|_| BearerError::Malformed)
}

/// Whether a text has only bytes that a `b64token` (RFC 6750 §2.1) may have.
///
/// Every request comes by here, so bytes are looked at by the dozen: without branches within a chunk, the
/// compiler has a vector for each.
pub(crate) fn is_b64token(text: &[u8]) -> bool {
    let all = |bytes: &[u8]| bytes.iter().fold(true, |all, byte| all & is_allowed(*byte));
    let (chunks, rest) = text.as_chunks::<32>();
    chunks.iter().all(|chunk| all(chunk)) && all(rest)
}

fn is_allowed(byte: u8) -> bool {
    let within = |first: u8, last: u8| byte.wrapping_sub(first) <= last - first;
    // Upper case is lower case without the bit 0x20, and nothing else becomes a letter by it.
    let letter = (byte | 0x20).wrapping_sub(b'a') <= b'z' - b'a';
    // `-./0123456789` stand in one row.
    letter | within(b'-', b'9') | (byte == b'_') | (byte == b'~') | (byte == b'+') | (byte == b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for header in ["Bearer t", "bearer t", "BEARER t", "bEaReR    t"] {
            assert_eq!(bearer(header.as_bytes()), Ok("t"), "{header}");
        }
    }

    #[test]
    fn another_scheme_is_not_a_malformed_token() {
        for header in ["", "Basic YQ==", "Bear", "BearerX t", "DPoP t", "Bearer\tt"] {
            assert_eq!(
                bearer(header.as_bytes()),
                Err(BearerError::OtherScheme),
                "{header}"
            );
        }
    }

    #[test]
    fn t9_each_byte_is_looked_at_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let allowed = byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            for (before, after) in [
                (0, 0),
                (0, 40),
                (31, 0),
                (31, 31),
                (32, 0),
                (40, 40),
                (64, 3),
            ] {
                let text = [&vec![b'a'; before][..], &[byte], &vec![b'9'; after]].concat();
                assert_eq!(is_b64token(&text), allowed, "{byte} after {before}");
            }
        }
    }

    #[test]
    fn t9_bytes_that_no_token_has_are_refused() {
        for header in [
            &b"Bearer"[..],
            b"Bearer ",
            b"Bearer a b",
            b"Bearer a,b",
            b"Bearer \xff",
            b"Bearer a\0",
            b"Bearer t ",
        ] {
            assert_eq!(bearer(header), Err(BearerError::Malformed), "{header:?}");
        }
    }
}
