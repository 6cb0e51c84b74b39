//! Whether a request that changes state comes from a page of ours.

use super::Asked;

/// Whether a browser says that a page of this origin, or of one of `trusted`, made the request.
///
/// First what browsers say and pages cannot forge: `Sec-Fetch-Site` (Fetch Metadata §2.4), since
/// 2023 in all of them; then `Origin` against `Host`. Where neither is there, a header that no page
/// of another origin can add without a CORS preflight must be.
pub(super) fn is_ours(asked: &Asked<'_>, trusted: &[Box<str>]) -> bool {
    let fields = (
        asked.one("sec-fetch-site"),
        asked.one("origin"),
        asked.one("host"),
    );
    let (Ok(site), Ok(origin), Ok(host)) = fields else {
        return false;
    };
    if origin.is_some_and(|origin| trusted.iter().any(|own| own.as_bytes() == origin)) {
        return true;
    }
    match (site, origin) {
        // `none`: the user's own doing, such as a bookmark.
        (Some(site), _) => matches!(site, b"same-origin" | b"none"),
        (None, Some(origin)) => host.is_some_and(|host| is_of_host(origin, host)),
        (None, None) => asked.all("x-requested-with").next().is_some(),
    }
}

/// Whether an origin is `https://` (or, for development, `http://`) and this host and port.
fn is_of_host(origin: &[u8], host: &[u8]) -> bool {
    [&b"https://"[..], b"http://"]
        .iter()
        .filter_map(|scheme| origin.strip_prefix(*scheme))
        .any(|authority| !authority.is_empty() && authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(headers: &[(&'static str, &'static str)]) -> bool {
        let fields = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        let asked = Asked::new(fields, b"");
        is_ours(&asked, &["https://app.example.com".into()])
    }

    const HOST: (&str, &str) = ("host", "auth.example.com");

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
            assert_eq!(ours(&[HOST, ("sec-fetch-site", site)]), expected, "{site}");
        }
        // Not even an `Origin` that fits, or the header of old browsers, outweighs it.
        let cross = ("sec-fetch-site", "cross-site");
        let origin = ("origin", "https://auth.example.com");
        assert!(!ours(&[HOST, cross, origin, ("x-requested-with", "x")]));
        assert!(!ours(&[("sec-fetch-site", "same-origin"), cross]));
    }

    #[test]
    fn without_it_the_origin_must_be_the_host() {
        for (origin, expected) in [
            ("https://auth.example.com", true),
            ("https://AUTH.example.com", true),
            ("https://auth.example.com:8443", false),
            ("https://auth.example.com.evil.example", false),
            ("https://evil.example", false),
            ("null", false),
            ("https://", false),
            ("", false),
        ] {
            assert_eq!(ours(&[HOST, ("origin", origin)]), expected, "{origin}");
        }
        assert!(!ours(&[("origin", "https://auth.example.com")]));
        assert!(!ours(&[("host", ""), ("origin", "https://")]));
        assert!(!ours(&[HOST, HOST, ("origin", "https://auth.example.com")]));
    }

    #[test]
    fn a_trusted_origin_may_be_of_another_site() {
        let origin = ("origin", "https://app.example.com");
        assert!(ours(&[HOST, origin, ("sec-fetch-site", "same-site")]));
        assert!(ours(&[HOST, origin]));
        assert!(!ours(&[HOST, ("origin", "http://app.example.com")]));
    }

    #[test]
    fn an_old_browser_must_add_a_header_that_forms_cannot() {
        assert!(!ours(&[HOST]));
        assert!(ours(&[HOST, ("x-requested-with", "XMLHttpRequest")]));
    }
}
