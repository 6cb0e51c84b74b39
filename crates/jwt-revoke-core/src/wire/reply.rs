//! What a route answers.

use serde::Serialize;

use crate::{defaults, session::Pair, wire::Refusal};

/// A response, as plain data: frameworks differ in their `http` versions.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header names, in lower case, and values. Values hold visible ASCII and spaces only.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// 204, and no cache keeps it.
    pub(crate) fn no_content() -> Self {
        Self::new(204)
    }

    /// 200 without a body, and no cache keeps it.
    pub(crate) fn empty() -> Self {
        Self::new(200)
    }

    /// JSON for everybody, to be asked for again after a while.
    pub(crate) fn document(body: impl Into<Vec<u8>>) -> Self {
        let max_age = defaults::DOCUMENT_MAX_AGE.as_secs();
        Self {
            status: 200,
            headers: vec![("cache-control", format!("public, max-age={max_age}"))],
            body: body.into(),
        }
        .with_header("content-type", "application/json")
    }

    /// JSON that no cache keeps (RFC 6749 §5.1).
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self {
                body,
                ..Self::new(status).with_header("content-type", "application/json")
            },
            Err(error) => {
                tracing::error!(%error, "a response does not serialize");
                Refusal::server_error().into()
            }
        }
    }

    /// `{"error", "error_description"}`.
    pub(crate) fn error(status: u16, code: &str, description: &str) -> Self {
        let reply = Self::json(
            status,
            &serde_json::json!({ "error": code, "error_description": description }),
        );
        match status {
            // "MUST send a WWW-Authenticate header field" (RFC 9110 §15.5.2).
            401 => reply.with_header("www-authenticate", "Bearer"),
            503 => reply.with_header("retry-after", &defaults::RETRY_AFTER.as_secs().to_string()),
            _ => reply,
        }
    }

    /// The client made a request that cannot be understood.
    pub(crate) fn malformed(description: &str) -> Self {
        Self::error(400, "invalid_request", description)
    }

    /// The body is larger than [`MAX_BODY_BYTES`](defaults::MAX_BODY_BYTES).
    pub fn too_large() -> Self {
        Self::error(413, "invalid_request", "the body is too large")
    }

    /// The body did not come to its end.
    pub fn cut_short() -> Self {
        Self::malformed("the body ended early")
    }

    /// The tokens of a login or a refresh (RFC 6749 §5.1): exactly what is there, nothing `null`.
    pub fn tokens(pair: &Pair) -> Self {
        Self::json(
            200,
            &Tokens {
                access_token: Some(pair.access_token()),
                refresh_token: Some(pair.refresh_token()),
                token_type: Some("Bearer"),
                ..Tokens::without_tokens(pair)
            },
        )
    }

    /// What is left to say of tokens that are in cookies.
    pub(crate) fn tokens_elsewhere(pair: &Pair) -> Self {
        Self::json(200, &Tokens::without_tokens(pair))
    }

    /// What a framework can send, with a line in the log for whatever it cannot.
    ///
    /// A renderer of the application's own may have put anything into a refusal: a status that is
    /// none (or an informational one, which would not end the exchange) becomes 500, a header that is
    /// none is left out.
    #[must_use]
    pub fn sendable(mut self) -> Self {
        if !(200..1000).contains(&self.status) {
            tracing::error!(status = self.status, "the renderer made no status");
            self.status = 500;
        }
        self.headers.retain(|(name, value)| {
            let is_header = is_token(name) && value.bytes().all(is_field_byte);
            if !is_header {
                tracing::error!(name, "the renderer made no header");
            }
            is_header
        });
        self
    }

    /// With one more header. Characters of `value` other than visible ASCII and spaces are dropped.
    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = value.chars().filter(|c| matches!(c, ' '..='~')).collect();
        self.headers.push((name, value));
        self
    }

    fn new(status: u16) -> Self {
        Self {
            status,
            headers: vec![("cache-control", "no-store".to_owned())],
            body: Vec::new(),
        }
    }
}

/// Whether a text can be the name of a header (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// Whether a byte can stand in the value of a header (RFC 9110 §5.5).
fn is_field_byte(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

#[derive(Serialize)]
struct Tokens<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    expires_in: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
}

impl<'a> Tokens<'a> {
    fn without_tokens(pair: &'a Pair) -> Self {
        Self {
            access_token: None,
            refresh_token: None,
            token_type: None,
            expires_in: pair.expires_in().as_secs(),
            scope: pair.scope().as_str(),
        }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.status,
            headers: refusal.headers,
            body: refusal.body,
        }
    }
}

/// The body and the cookies may be tokens.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sendable(refusal: Refusal) -> Reply {
        Reply::from(refusal).sendable()
    }

    #[test]
    fn what_no_framework_can_send_is_left_out() {
        let mut refusal = Refusal::new(42).with_header("Bad Name", "x");
        refusal.headers.extend([
            ("", "a".to_owned()),
            ("x-split", "a\r\nSet-Cookie: b".to_owned()),
            ("x-good", "a".to_owned()),
        ]);
        let reply = sendable(refusal);
        assert_eq!(reply.status, 500);
        assert_eq!(reply.headers, [("x-good", "a".to_owned())]);
    }

    #[test]
    fn a_status_that_does_not_end_the_exchange_is_500() {
        for status in [0, 42, 100, 101, 199, 1000, u16::MAX] {
            assert_eq!(sendable(Refusal::new(status)).status, 500, "{status}");
        }
        for status in [200, 418, 999] {
            assert_eq!(sendable(Refusal::new(status)).status, status);
        }
    }
}
