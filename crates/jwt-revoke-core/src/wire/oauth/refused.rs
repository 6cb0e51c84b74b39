//! The errors of RFC 6749 §5.2.

use std::error::Error;

use serde::Serialize;

use crate::{Report, defaults, wire::oauth::Reply};

/// Why an endpoint does not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The request is malformed; in words for the client's developer.
    InvalidRequest(&'static str),
    /// The body is longer than any good one.
    TooLarge,
    /// Nobody knows the client, or it did not prove who it is. The same words for both.
    InvalidClient(Challenge),
    /// The token is invalid, expired, revoked, or another client's. The same words for all.
    InvalidGrant,
    /// The scope exceeds what was granted.
    InvalidScope,
    /// Another grant than `refresh_token`.
    UnsupportedGrantType,
    /// The fault is ours, and the token may still be good.
    Unavailable,
}

/// Whether a client that did not prove who it is hears of the scheme that it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// 401 with `WWW-Authenticate`, which RFC 6749 §5.2 asks for after an `Authorization` header.
    Basic,
    /// 400: a 401 without a challenge is against RFC 9110 §15.5.2, and one with a challenge makes
    /// browsers ask their user for a password.
    None,
}

impl Refused {
    /// The fault is ours. The cause is for the log.
    pub(super) fn unavailable(error: &(dyn Error + 'static)) -> Self {
        tracing::debug!(reason = %Report(error).quoted(), "could not answer an oauth request");
        Self::Unavailable
    }

    pub(super) fn reply(self) -> Reply {
        #[derive(Serialize)]
        struct Body {
            error: &'static str,
            error_description: &'static str,
        }

        let (status, error, error_description) = match self {
            Self::InvalidRequest(description) => (400, "invalid_request", description),
            Self::TooLarge => (413, "invalid_request", "the body is too long"),
            Self::InvalidClient(challenge) => (
                match challenge {
                    Challenge::Basic => 401,
                    Challenge::None => 400,
                },
                "invalid_client",
                "client authentication failed",
            ),
            Self::InvalidGrant => (
                400,
                "invalid_grant",
                "the token is invalid, expired, revoked or another client's",
            ),
            Self::InvalidScope => (
                400,
                "invalid_scope",
                "the scope is malformed or exceeds what was granted",
            ),
            Self::UnsupportedGrantType => (
                400,
                "unsupported_grant_type",
                "only the grant refresh_token is supported",
            ),
            Self::Unavailable => (
                503,
                "temporarily_unavailable",
                "try again shortly; the token may still be good",
            ),
        };
        tracing::debug!(status, error, "refused an oauth request");
        let reply = Reply::json(
            status,
            &Body {
                error,
                error_description,
            },
        );
        match self {
            Self::InvalidClient(Challenge::Basic) => {
                reply.with_header("www-authenticate", "Basic realm=\"oauth\"")
            }
            Self::Unavailable => {
                reply.with_header("retry-after", &defaults::RETRY_AFTER.as_secs().to_string())
            }
            _ => reply,
        }
    }
}

/// The one answer of an endpoint that may refuse.
pub(super) fn settle(outcome: Result<Reply, Refused>) -> Reply {
    private(outcome.unwrap_or_else(Refused::reply))
}

/// Beside `Cache-Control: no-store`, for caches of HTTP/1.0 (RFC 6749 §5.1).
pub(super) fn private(reply: Reply) -> Reply {
    reply.with_header("pragma", "no-cache")
}
