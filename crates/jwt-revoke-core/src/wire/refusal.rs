//! Refusals: what a client is told instead of an answer.

use crate::{Report, defaults, guard::Denied, wire::Challenge};

/// A response that refuses a request, as plain data: frameworks differ in their `http` versions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// Header names, in lower case, and values. Values hold visible ASCII and spaces only.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Refusal {
    /// A refusal with this status and neither headers nor body.
    pub const fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Renders a denial and leaves a line in the log, at `debug`, with all causes and never the token.
    /// Of an outage the guard tells at `warn`, once and then every few seconds.
    pub fn of(denied: &Denied, render: &dyn Render) -> Self {
        let refusal = render.render(denied);
        let (status, reason) = (refusal.status, Report(denied).quoted());
        tracing::debug!(status, %reason, "refused a request");
        refusal
    }

    /// What a client is told when the application is at fault: a route asks for what no layer has
    /// put there, say. 500, and nothing about why.
    pub fn server_error() -> Self {
        Self::new(500).with_json("server_error", "the server is misconfigured")
    }

    fn with_json(self, error: &str, description: &str) -> Self {
        let body = serde_json::json!({ "error": error, "error_description": description });
        self.with_body("application/json", body.to_string())
            .with_header("cache-control", "no-store")
    }

    /// With one more header. `name` in lower case; characters of `value` other than visible ASCII
    /// and spaces are dropped.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((
            name,
            value.chars().filter(|c| matches!(c, ' '..='~')).collect(),
        ));
        self
    }

    /// With a body, and its media type as `content-type`.
    #[must_use]
    pub fn with_body(mut self, media_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.with_header("content-type", media_type)
    }
}

/// Turns a denial into the response that the client sees.
///
/// The default is [`Json`]; [`Grpc`](crate::wire::Grpc) is for gRPC services. An implementation of your own starts from [`Denied::status`] and
/// [`Denied::code`]; it should not tell a client which check failed, since that tells an attacker
/// how far a forgery got.
pub trait Render: Send + Sync + 'static {
    /// The response to a request that was denied.
    fn render(&self, denied: &Denied) -> Refusal;
}

impl<F: Fn(&Denied) -> Refusal + Send + Sync + 'static> Render for F {
    fn render(&self, denied: &Denied) -> Refusal {
        self(denied)
    }
}

/// Refusals as JSON objects `{"error", "error_description"}`, with the challenge of RFC 6750 §3
/// beside 400, 401 and 403, and `Retry-After` (RFC 9110 §10.2.3) beside 503.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Json {
    realm: Option<Box<str>>,
}

impl Json {
    /// Without a realm.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the protection space in challenges (RFC 9110 §11.5).
    pub fn with_realm(mut self, realm: &str) -> Self {
        self.realm = Some(realm.into());
        self
    }

    fn challenge(&self, denied: &Denied) -> Challenge {
        let mut challenge = Challenge::new();
        if let Some(realm) = &self.realm {
            challenge = challenge.with_realm(realm);
        }
        // "If the request lacks any authentication information, the resource server SHOULD NOT
        // include an error code or other error information" (RFC 6750 §3.1).
        if !matches!(denied, Denied::Missing) {
            challenge = challenge
                .with_error(denied.code())
                .with_description(denied.description());
        }
        if let Denied::InsufficientScope { required } = denied {
            challenge = challenge.with_scope(required.as_str());
        }
        challenge
    }
}

impl Render for Json {
    fn render(&self, denied: &Denied) -> Refusal {
        let status = denied.status();
        let refusal = Refusal::new(status).with_json(denied.code(), denied.description());
        match status {
            // No token would help.
            _ if matches!(denied, Denied::CrossOrigin(_)) => refusal,
            400 | 401 | 403 => {
                refusal.with_header("www-authenticate", &self.challenge(denied).to_string())
            }
            503 => refusal.with_header("retry-after", &defaults::RETRY_AFTER.as_secs().to_string()),
            _ => refusal,
        }
    }
}
