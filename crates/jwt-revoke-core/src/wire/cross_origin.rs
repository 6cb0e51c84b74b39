//! Defence against requests that a page of another origin has a browser send with its cookies.

use super::{
    Field, Origin,
    origin::{default_port, host_and_port},
};

/// Reason to believe that a page of another origin caused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrossOrigin {
    /// The browser names another origin.
    #[error(
        "its origin is neither this host's nor trusted; a proxy must pass on `Host` as it came, and \
         another origin of yours is named with `with_origin`"
    )]
    Elsewhere,
    /// Nothing says where the request comes from.
    #[error(
        "it has neither Sec-Fetch-Site nor Origin, which browsers send; other clients add \
         X-Requested-With"
    )]
    Unstated,
    /// A header that decides occurs twice.
    #[error("one of Sec-Fetch-Site, Origin and Host occurs twice")]
    Contradictory,
}

impl CrossOrigin {
    /// Sentence for the client's developer.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Elsewhere => "the request comes from another origin",
            Self::Unstated => {
                "the request does not say which origin it comes from: outside of browsers, send an \
                 X-Requested-With header with it"
            }
            Self::Contradictory => "the request has two origins or two hosts",
        }
    }
}

/// Decides whether a page of this origin, or of one of `trusted`, made a request.
///
/// First what browsers say and pages cannot forge: `Sec-Fetch-Site` (Fetch Metadata §2.4), since
/// 2023 in all of them; then `Origin` against the host that was asked. Where neither is there, a
/// header that no page of another origin can add without a CORS preflight must be.
pub(super) fn admit<'a, V>(
    values: impl Fn(Field) -> V,
    trusted: &[Origin],
) -> Result<(), CrossOrigin>
where
    V: IntoIterator<Item = &'a [u8]>,
{
    let one = |field| {
        let mut values = values(field).into_iter();
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => Err(CrossOrigin::Contradictory),
        }
    };
    let site = one(Field::SecFetchSite)?;
    let origin = one(Field::Origin)?;
    // The target's own authority outranks `Host`, which HTTP/2 need not have (RFC 9110 §7.2,
    // RFC 9112 §3.2.2, RFC 9113 §8.3.1).
    let host = match (one(Field::Authority)?, one(Field::Host)?) {
        (Some(authority), _) => Some(authority),
        (None, host) => host,
    };
    if origin.is_some_and(|origin| trusted.iter().any(|own| own.as_str().as_bytes() == origin)) {
        return Ok(());
    }
    let is_ours = match (site, origin) {
        // `none`: the user's own doing, such as a bookmark.
        (Some(site), _) => matches!(site, b"same-origin" | b"none"),
        (None, Some(origin)) => host.is_some_and(|host| is_of_host(origin, host)),
        (None, None) if values(Field::XRequestedWith).into_iter().next().is_some() => true,
        (None, None) => return Err(CrossOrigin::Unstated),
    };
    is_ours.then_some(()).ok_or(CrossOrigin::Elsewhere)
}

/// Whether a request can change state, or open a connection that can: every method but `GET`, `HEAD`,
/// `OPTIONS` and `TRACE` (RFC 9110 §9.2.1), and each that asks for an upgrade. Browsers open
/// WebSockets by `GET`, with cookies, and no CORS stands before it.
pub(super) fn matters<'a, V>(values: impl Fn(Field) -> V) -> bool
where
    V: IntoIterator<Item = &'a [u8]>,
{
    let mut methods = values(Field::Method).into_iter();
    let is_safe = methods
        .next()
        .is_some_and(|method| matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE"));
    !is_safe || values(Field::Upgrade).into_iter().next().is_some()
}

/// Whether an origin is `https://` (or, for development, `http://`) and this host and port.
///
/// Some clients and proxies write a scheme's default port out in `Host`; browsers never do in
/// `Origin`.
fn is_of_host(origin: &[u8], host: &[u8]) -> bool {
    let (Ok(origin), Ok(host)) = (str::from_utf8(origin), str::from_utf8(host)) else {
        return false;
    };
    let Some((scheme @ ("https" | "http"), authority)) = origin.split_once("://") else {
        return false;
    };
    let host = match host_and_port(host) {
        (name, Some(port)) if default_port(scheme) == Some(port) => name,
        _ => host,
    };
    !authority.is_empty() && authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(headers: &[(Field, &'static str)]) -> Result<(), CrossOrigin> {
        let values = |field| {
            let own = headers.iter().filter(move |(name, _)| *name == field);
            own.map(|(_, value)| value.as_bytes())
        };
        admit(values, &["https://app.example.com".parse().unwrap()])
    }

    fn ours(headers: &[(Field, &'static str)]) -> bool {
        judge(headers).is_ok()
    }

    const HOST: (Field, &str) = (Field::Host, "auth.example.com");

    #[test]
    fn what_the_browser_says_of_the_site_decides() {
        for (site, expected) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
            ("", false),
            ("Same-Origin", false),
        ] {
            assert_eq!(
                ours(&[HOST, (Field::SecFetchSite, site)]),
                expected,
                "{site}"
            );
        }
        // Not even an `Origin` that fits, or the header of old browsers, outweighs it.
        let cross = (Field::SecFetchSite, "cross-site");
        let origin = (Field::Origin, "https://auth.example.com");
        assert!(!ours(&[HOST, cross, origin, (Field::XRequestedWith, "x")]));
        assert!(!ours(&[(Field::SecFetchSite, "same-origin"), cross]));
    }

    #[test]
    fn without_it_the_origin_must_be_the_host() {
        for (origin, expected) in [
            ("https://auth.example.com", true),
            ("https://AUTH.example.com", true),
            ("https://auth.example.com:8443", false),
            ("https://auth.example.com.evil.example", false),
            ("https://evil.example", false),
            ("ftp://auth.example.com", false),
            ("null", false),
            ("https://", false),
            ("", false),
        ] {
            assert_eq!(ours(&[HOST, (Field::Origin, origin)]), expected, "{origin}");
        }
        assert!(!ours(&[(Field::Origin, "https://auth.example.com")]));
        assert!(!ours(&[(Field::Host, ""), (Field::Origin, "https://")]));
        let origin = (Field::Origin, "https://auth.example.com");
        assert_eq!(
            judge(&[HOST, HOST, origin]),
            Err(CrossOrigin::Contradictory)
        );
    }

    #[test]
    fn a_default_port_in_the_host_is_none() {
        for (origin, host, expected) in [
            ("https://a.example", "a.example:443", true),
            ("http://a.example", "a.example:80", true),
            ("http://[::1]", "[::1]:80", true),
            ("http://a.example", "a.example:443", false),
            ("https://a.example", "a.example:80", false),
            ("https://a.example:8443", "a.example:8443", true),
            ("https://a.example", "a.example:", false),
        ] {
            let headers = [(Field::Host, host), (Field::Origin, origin)];
            assert_eq!(ours(&headers), expected, "{origin} {host}");
        }
    }

    #[test]
    fn s52_the_authority_of_the_target_is_the_host() {
        let origin = (Field::Origin, "https://auth.example.com");
        let authority = |name| (Field::Authority, name);
        assert!(ours(&[authority("auth.example.com"), origin]));
        assert!(ours(&[authority("auth.example.com:443"), origin]));
        assert!(!ours(&[authority("evil.example"), origin]));
        // It outranks `Host`, in both directions.
        assert!(!ours(&[authority("evil.example"), HOST, origin]));
        let other = (Field::Host, "other.example");
        assert!(ours(&[authority("auth.example.com"), other, origin]));
    }

    #[test]
    fn a_trusted_origin_may_be_of_another_site() {
        let origin = (Field::Origin, "https://app.example.com");
        assert!(ours(&[HOST, origin, (Field::SecFetchSite, "same-site")]));
        assert!(ours(&[HOST, origin]));
        assert!(!ours(&[HOST, (Field::Origin, "http://app.example.com")]));
    }

    #[test]
    fn a_client_that_is_no_browser_must_add_a_header_that_forms_cannot() {
        assert_eq!(judge(&[HOST]), Err(CrossOrigin::Unstated));
        assert!(ours(&[HOST, (Field::XRequestedWith, "XMLHttpRequest")]));
        assert!(
            CrossOrigin::Unstated
                .description()
                .contains("X-Requested-With")
        );
    }

    #[test]
    fn s54_an_upgrade_matters_whatever_its_method() {
        let matters = |headers: &[(Field, &'static str)]| {
            super::matters(|field| {
                let own = headers.iter().filter(move |(name, _)| *name == field);
                own.map(|(_, value)| value.as_bytes())
            })
        };
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(!matters(&[(Field::Method, method)]), "{method}");
            let upgrade = (Field::Upgrade, "websocket");
            assert!(matters(&[(Field::Method, method), upgrade]), "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get", "X"] {
            assert!(matters(&[(Field::Method, method)]), "{method}");
        }
        assert!(matters(&[]));
    }
}
