//! The `WWW-Authenticate` challenge of RFC 6750 §3.

use std::fmt;

/// A `Bearer` challenge. `Display` is the value of the `WWW-Authenticate` header.
///
/// ```
/// use jwt_revoke_core::wire::Challenge;
///
/// assert_eq!(Challenge::new().to_string(), "Bearer");
/// assert_eq!(
///     Challenge::new().with_realm("api").with_error("invalid_token").to_string(),
///     r#"Bearer realm="api", error="invalid_token""#,
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Challenge {
    parameters: Vec<(&'static str, String)>,
}

impl Challenge {
    /// A challenge without parameters: what a request without a token gets (RFC 6750 §3.1).
    pub fn new() -> Self {
        Self::default()
    }

    /// With the protection space (RFC 9110 §11.5).
    pub fn with_realm(self, realm: &str) -> Self {
        self.with("realm", realm)
    }

    /// With an error code of RFC 6750 §3.1.
    pub fn with_error(self, code: &'static str) -> Self {
        self.with("error", code)
    }

    /// With a sentence for developers.
    pub fn with_description(self, description: &str) -> Self {
        self.with("error_description", description)
    }

    /// With the scope that would be needed.
    pub fn with_scope(self, scope: &str) -> Self {
        self.with("scope", scope)
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.parameters.push((name, quotable(value)));
        self
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")?;
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            let separator = if index == 0 { " " } else { ", " };
            write!(f, "{separator}{name}=\"{value}\"")?;
        }
        Ok(())
    }
}

/// Only the characters that RFC 6750 §3 allows in all of its values; others are dropped, so that
/// nothing can end the quotes or the header.
fn quotable(value: &str) -> String {
    value
        .chars()
        .filter(|c| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_end_the_quotes_or_the_header() {
        let challenge = Challenge::new().with_scope("a\" b\\\r\nSet-Cookie: x=é");
        assert_eq!(challenge.to_string(), "Bearer scope=\"a bSet-Cookie: x=\"");
    }
}
