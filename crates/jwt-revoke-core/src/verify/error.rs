//! Why a token was refused.

use crate::{defaults, verify::Algorithm};

/// Why a token was refused, for the operator's log: nothing of the token's text is in it. A client
/// is told `invalid_token` and no more (RFC 6750 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Longer than [`MAX_TOKEN_BYTES`](defaults::MAX_TOKEN_BYTES).
    #[error("token is longer than {} bytes", defaults::MAX_TOKEN_BYTES)]
    TooLong,
    /// Not three parts of base64url without padding (RFC 7515 §7.1).
    #[error("token is not a compact JWS")]
    NotCompact,
    /// The header is not one JSON object of bounded size, with `alg` and every other member that
    /// has a meaning of the right type.
    #[error("token header is malformed")]
    MalformedHeader,
    /// A member occurs twice in the header (RFC 7515 §4).
    #[error("token header has a duplicate member")]
    DuplicateHeader,
    /// The header has a member that changes how the token is to be read: `crit`, `b64`, `zip` or
    /// `enc` (RFC 7515 §4.1.11, RFC 7797, RFC 7516).
    #[error("token header has {0:?}, which is not supported")]
    UnsupportedHeader(&'static str),
    /// `alg` is none of ours: `none`, for instance.
    #[error("token declares an unsupported algorithm")]
    UnsupportedAlgorithm,
    /// `alg` is not the algorithm that the key is pinned to.
    #[error("token declares another algorithm than {expected}, which its key is for")]
    AlgorithmMismatch {
        /// The algorithm of the key.
        expected: Algorithm,
    },
    /// No key has the token's `kid`; or it has none, and no key is for its algorithm.
    #[error("token is signed with an unknown key")]
    UnknownKey,
    /// The signature is not of that key over this token.
    #[error("token signature does not hold")]
    BadSignature,
    /// `typ` is absent or `JWT`, which says nothing about the kind of token. Many issuers send
    /// that; [`Verifier::allow_untyped`](super::Verifier::allow_untyped) accepts it.
    #[error(
        "token does not declare its type: expected \"at+jwt\" (`allow_untyped` accepts others)"
    )]
    Untyped,
    /// A token of another kind: a refresh token, an ID token, a logout token.
    #[error("token is of another type")]
    OtherType,
    /// The claims are not one JSON object in UTF-8, or too many.
    #[error("token claims are malformed")]
    MalformedClaims,
    /// A claim occurs twice (RFC 7519 §4 lets us refuse it).
    #[error("token has a duplicate claim")]
    DuplicateClaim,
    /// A claim is required and absent.
    #[error("token lacks the claim {0:?}")]
    MissingClaim(&'static str),
    /// A claim has the wrong type, is empty, too long, or out of range.
    #[error("token has an invalid {0:?}")]
    InvalidClaim(&'static str),
    /// A claim that the application made a revocation dimension is not a text, a number that is a
    /// [`Decimal`](crate::token::Decimal), or an array of at most 16 of them.
    #[error("token has an invalid {0:?}, which is a revocation dimension")]
    InvalidDimension(crate::revocation::ClaimName),
    /// `iss` is another issuer.
    #[error("token is of another issuer")]
    OtherIssuer,
    /// `aud` names none of our audiences.
    #[error("token is for another audience")]
    OtherAudience,
    /// `exp` has passed.
    #[error("token has expired")]
    Expired,
    /// `nbf` lies further ahead than clocks may differ.
    #[error("token is not valid yet")]
    NotYetValid,
    /// `iat` lies ahead.
    #[error("token was issued in the future")]
    IssuedInFuture,
    /// It lives longer than the verifier's largest lifetime, so it could not be put on the denylist
    /// for as long as it lives.
    #[error("token lives longer than the largest lifetime allowed")]
    LivesTooLong,
    /// Neither `sid` nor `jti` is a UUIDv7, from which a token of our own takes its birth.
    #[error("token does not tell when it was born: \"sid\" or \"jti\" is not a UUIDv7")]
    UnknownBirth,
    /// The session (or the token) was opened in the future.
    #[error("token was born in the future")]
    BornInFuture,
}
