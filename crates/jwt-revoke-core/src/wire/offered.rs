//! Which token a request offers.

use std::borrow::Cow;

use crate::{
    guard::Denied,
    token::{BearerError, bearer, is_b64token},
};

/// Collects the tokens that a request offers, and decides which one counts.
///
/// Show it each place where the application expects a token, then ask for the
/// [`decision`](Self::decide). All places are read, so that no two parts of a system can come to
/// different answers about one request: "Clients MUST NOT use more than one method to transmit the
/// token in each request" (RFC 6750 §2). One token in two places is one token.
///
/// ```
/// use jwt_revoke_core::{Denied, wire::Offered};
///
/// let mut offered = Offered::new();
/// offered.authorization([&b"Basic YTpi"[..]]); // Somebody else's.
/// offered.cookies("session", [&b"theme=dark; session=a.b.c"[..]]);
/// assert_eq!(offered.decide().unwrap(), "a.b.c");
///
/// assert!(matches!(Offered::new().decide(), Err(Denied::Missing)));
/// ```
#[derive(Default)]
#[must_use = "nothing is decided until `decide` is called"]
pub struct Offered<'a> {
    token: Option<Cow<'a, str>>,
    /// Whether the token stands in cookies alone.
    is_ambient: bool,
    fault: Option<&'static str>,
}

impl<'a> Offered<'a> {
    /// Nothing offered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The values of all `Authorization` header fields. A scheme other than `Bearer` offers nothing;
    /// a second field is malformed whatever it says, since others in the path may read either.
    pub fn authorization(&mut self, values: impl IntoIterator<Item = &'a [u8]>) {
        let mut values = values.into_iter();
        match values.next().map(bearer) {
            None | Some(Err(BearerError::OtherScheme)) => {}
            Some(Ok(token)) => self.token(token),
            Some(Err(BearerError::Malformed)) => self.fault("the bearer token is malformed"),
        }
        if values.next().is_some() {
            self.fault("two authorization headers");
        }
    }

    /// The values of all `Cookie` header fields, of which the cookies called `name` count (RFC 6265
    /// §4.2.1, the name in exact case). An empty one offers nothing: it was cleared. Quotes around a
    /// value are not part of the token.
    pub fn cookies(&mut self, name: &str, values: impl IntoIterator<Item = &'a [u8]>) {
        for value in values.into_iter().flat_map(|value| cookies(name, value)) {
            match std::str::from_utf8(value) {
                Ok("") => {}
                Ok(token) if is_b64token(token.as_bytes()) => {
                    let is_ambient = self.is_ambient || self.token.is_none();
                    self.token(token);
                    self.is_ambient = is_ambient;
                }
                _ => self.fault("the cookie holds no token"),
            }
        }
    }

    /// A token from anywhere else.
    pub fn token(&mut self, token: impl Into<Cow<'a, str>>) {
        let token = token.into();
        self.is_ambient = false;
        match &self.token {
            Some(other) if *other != token => self.fault("two different tokens"),
            _ => self.token = Some(token),
        }
    }

    /// The one token.
    ///
    /// # Errors
    ///
    /// [`Denied::Missing`] when there is none, [`Denied::Malformed`] when there is more than one, or
    /// something that is in a token's place and cannot be one.
    pub fn decide(self) -> Result<Cow<'a, str>, Denied> {
        match (self.fault, self.token) {
            (Some(fault), _) => Err(Denied::Malformed(fault)),
            (None, Some(token)) => Ok(token),
            (None, None) => Err(Denied::Missing),
        }
    }

    /// Whether the token stands in cookies alone, which browsers send whatever page causes the
    /// request.
    pub(super) fn is_ambient(&self) -> bool {
        self.is_ambient
    }

    fn fault(&mut self, fault: &'static str) {
        self.fault.get_or_insert(fault);
    }
}

/// The values of the cookies called `name` in one header field.
fn cookies<'a>(name: &str, field: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    field.split(|b| *b == b';').filter_map(move |pair| {
        let value = pair
            .trim_ascii()
            .strip_prefix(name.as_bytes())?
            .strip_prefix(b"=")?;
        let unquoted = value
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        Some(unquoted.unwrap_or(value))
    })
}

impl std::fmt::Debug for Offered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offered")
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static [u8]]) -> Result<Cow<'static, str>, Denied> {
        let mut offered = Offered::new();
        offered.authorization(values.iter().copied());
        offered.decide()
    }

    fn cookie(values: &[&'static [u8]]) -> Result<Cow<'static, str>, Denied> {
        let mut offered = Offered::new();
        offered.cookies("session", values.iter().copied());
        offered.decide()
    }

    #[test]
    fn t9_a_second_authorization_header_is_malformed_whatever_it_says() {
        for second in [&b"Bearer a.b.c"[..], b"Bearer d.e.f", b"Basic YTpi", b""] {
            let decision = headers(&[b"Bearer a.b.c", second]);
            assert!(matches!(decision, Err(Denied::Malformed(_))), "{second:?}");
            let decision = headers(&[second, b"Bearer a.b.c"]);
            assert!(matches!(decision, Err(Denied::Malformed(_))), "{second:?}");
        }
    }

    #[test]
    fn another_scheme_offers_nothing() {
        assert!(matches!(headers(&[b"Basic YTpi"]), Err(Denied::Missing)));
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_exact_name() {
        for field in [
            &b"session=a.b.c"[..],
            b"x=1; session=a.b.c; y=2",
            b"x=1;session=a.b.c",
            b"Session=no; session2=no; xsession=no; session=a.b.c",
            b"session=\"a.b.c\"",
            b"session; =; ;; session=; session=a.b.c",
        ] {
            assert_eq!(cookie(&[field]).unwrap(), "a.b.c", "{field:?}");
        }
        for field in [
            &b""[..],
            b"session",
            b"session=",
            b"Session=a",
            b"a=session=b",
        ] {
            assert!(
                matches!(cookie(&[field]), Err(Denied::Missing)),
                "{field:?}"
            );
        }
    }

    #[test]
    fn two_cookies_of_one_name_must_agree() {
        // A sibling domain can plant a second cookie; which one comes first is up to the browser.
        let fields: [&[&[u8]]; 2] = [&[b"session=a; session=b"], &[b"session=a", b"session=b"]];
        for field in fields {
            assert!(matches!(cookie(field), Err(Denied::Malformed(_))));
        }
        assert_eq!(cookie(&[b"session=a; session=a"]).unwrap(), "a");
    }

    #[test]
    fn t9_bytes_that_no_token_has_are_malformed_in_a_cookie_too() {
        for field in [
            &b"session=a b"[..],
            b"session=\xff",
            b"session=a,b",
            b"session=\"",
        ] {
            assert!(
                matches!(cookie(&[field]), Err(Denied::Malformed(_))),
                "{field:?}"
            );
        }
    }

    #[test]
    fn tokens_in_several_places_must_agree() {
        let mut offered = Offered::new();
        offered.authorization([&b"Bearer a"[..]]);
        offered.cookies("session", [&b"session=a"[..]]);
        offered.token("a".to_owned());
        assert_eq!(offered.decide().unwrap(), "a");

        let mut offered = Offered::new();
        offered.authorization([&b"Bearer a"[..]]);
        offered.token("b");
        offered.token("a");
        assert!(matches!(offered.decide(), Err(Denied::Malformed(_))));
    }

    #[test]
    fn s53_a_token_is_ambient_where_it_stands_in_cookies_alone() {
        let cookie = &b"session=a; session=a"[..];
        let mut offered = Offered::new();
        assert!(!offered.is_ambient());
        offered.cookies("session", [cookie]);
        assert!(offered.is_ambient());
        offered.cookies("session", [cookie]);
        assert!(offered.is_ambient());
        offered.authorization([&b"Bearer a"[..]]);
        assert!(!offered.is_ambient());
        offered.cookies("session", [cookie]);
        assert!(!offered.is_ambient());
    }

    #[test]
    fn debug_hides_the_token() {
        let mut offered = Offered::new();
        offered.token("secret");
        assert!(!format!("{offered:?}").contains("secret"));
    }
}
