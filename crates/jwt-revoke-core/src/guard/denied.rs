//! Why a request was refused.

use crate::{
    guard::ClaimsError, revocation::Dimension, store::StoreError, token::Scope,
    verify::VerifyError, wire::CrossOrigin,
};

/// Why a request was refused. `Display` is for the operator's log; the client sees only
/// [`status`](Self::status), [`code`](Self::code) and [`description`](Self::description), so a
/// response never tells whether a token was forged, expired or revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The request has no token.
    #[error("the request has no token")]
    Missing,
    /// The request is malformed: two tokens, or something after `Bearer` that no token can be.
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
    /// The token is not genuine, not for us, or has lapsed.
    #[error("the token is invalid")]
    Invalid(#[source] VerifyError),
    /// A cutoff covers the token.
    #[error("the token is revoked{}", dimension.as_ref().map(|d| format!(" by {d}")).unwrap_or_default())]
    Revoked {
        /// In which respect, where it is known.
        dimension: Option<Dimension>,
    },
    /// The application's own claims do not have the shape it asks for.
    #[error("the token's claims do not fit the application's type")]
    Claims(#[source] ClaimsError),
    /// The token is good, and not for this.
    #[error("the token lacks the scope {required}")]
    InsufficientScope {
        /// What it takes.
        required: Scope,
    },
    /// The token is a cookie, or will be one, and a page of another origin may have caused the request.
    #[error("a page of another origin may have caused the request")]
    CrossOrigin(#[source] CrossOrigin),
    /// The store did not answer, and the policy is to fail closed.
    #[error("revocation state is unknown")]
    StoreUnavailable(#[source] StoreError),
}

impl Denied {
    /// The HTTP status: 400, 401, 403 (RFC 6750 §3.1), or 503 when the fault is ours.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Missing | Self::Invalid(_) | Self::Revoked { .. } | Self::Claims(_) => 401,
            Self::InsufficientScope { .. } | Self::CrossOrigin(_) => 403,
            Self::StoreUnavailable(_) => 503,
        }
    }

    /// The error code: those of RFC 6750 §3.1, `temporarily_unavailable` (RFC 6749 §4.1.2.1) for an
    /// outage, `access_denied` for a page of another origin, and `unauthorized` in the body of a 401 to
    /// a request without a token, whose challenge has no code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "unauthorized",
            Self::Malformed(_) => "invalid_request",
            Self::Invalid(_) | Self::Revoked { .. } | Self::Claims(_) => "invalid_token",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::CrossOrigin(_) => "access_denied",
            Self::StoreUnavailable(_) => "temporarily_unavailable",
        }
    }

    /// A sentence for the client's developer, the same for all reasons for which a token is refused.
    pub fn description(&self) -> &'static str {
        match self {
            Self::Missing => "this resource needs an access token",
            Self::Malformed(_) => "the request is malformed",
            Self::Invalid(_) | Self::Revoked { .. } | Self::Claims(_) => {
                "the access token is invalid, expired or revoked"
            }
            Self::InsufficientScope { .. } => "the access token lacks a scope that is needed here",
            Self::CrossOrigin(reason) => reason.description(),
            Self::StoreUnavailable(_) => "try again shortly; the access token may still be good",
        }
    }
}
