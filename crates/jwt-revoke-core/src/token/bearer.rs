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
    if !token.iter().all(|b| is_b64token(*b)) {
        return Err(BearerError::Malformed);
    }
    std::str::from_utf8(token).map_err(|_| BearerError::Malformed)
}

/// Whether a `b64token` (RFC 6750 §2.1) may have this byte.
pub(crate) fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
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
