//! Origins of pages, as browsers write them.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Origin of web pages, in the one spelling that browsers send in `Origin` (RFC 6454 §6.2).
///
/// A text that no browser sends is refused when it is parsed: one with a path or a trailing slash,
/// in upper case, with the scheme's default port, `null`, or a wildcard. The error says what to
/// write instead.
///
/// ```
/// use jwt_revoke_core::wire::Origin;
///
/// let origin: Origin = "https://app.example.com".parse()?;
/// assert_eq!(origin.as_str(), "https://app.example.com");
///
/// let error = "https://App.example.com:443/".parse::<Origin>().unwrap_err();
/// assert!(error.to_string().contains("write \"https://app.example.com\""));
/// # Ok::<(), jwt_revoke_core::wire::OriginError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

impl Origin {
    /// Text that browsers send in `Origin`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        match fault(text) {
            None => Ok(Self(text.into())),
            Some(fault) => Err(OriginError {
                text: text.into(),
                fault,
                mend: canonical(text).filter(|mend| text != "null" && self::fault(mend).is_none()),
            }),
        }
    }
}

impl TryFrom<&str> for Origin {
    type Error = OriginError;

    fn try_from(text: &str) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that no browser sends as an origin. `Display` says what is wrong with it, and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct OriginError {
    text: Box<str>,
    fault: &'static str,
    mend: Option<String>,
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, fault, mend } = self;
        write!(
            f,
            "{text:?} is no origin that a browser sends: {fault}; write "
        )?;
        match mend {
            Some(mend) => write!(f, "{mend:?}"),
            None => f.write_str("an origin such as \"https://app.example.com\""),
        }
    }
}

/// Why no browser sends this text.
fn fault(text: &str) -> Option<&'static str> {
    if text == "null" {
        return Some("`null` stands for every sandboxed page and local file");
    }
    if text.contains('*') {
        return Some("wildcards are not supported, each origin is named");
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Some("it has no scheme");
    };
    if !text.is_ascii() {
        return Some("it has other characters than ascii, and browsers send punycode");
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some("browsers send lower case");
    }
    let is_scheme_byte = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme_byte)
    {
        return Some("the scheme is malformed");
    }
    match scheme {
        "ws" | "wss" => {
            return Some("the origin of a web socket is that of its page, http or https");
        }
        "file" | "data" | "blob" | "about" | "javascript" => {
            return Some("browsers send `null` for pages of this scheme");
        }
        _ => {}
    }
    if rest.contains(['/', '\\', '?', '#']) {
        return Some("it has a path or a trailing slash");
    }
    if rest.contains('@') {
        return Some("it has a user name");
    }
    let (host, port) = host_and_port(rest);
    match host.strip_prefix('[') {
        Some(address) => {
            let parsed = address.strip_suffix(']').map(str::parse::<Ipv6Addr>);
            let Some(Ok(parsed)) = parsed else {
                return Some("the host is malformed");
            };
            if format!("{parsed}]") != address && parsed.to_ipv4().is_none() {
                return Some("browsers shorten the address");
            }
        }
        None => {
            let label = |label: &str| {
                let is_host_byte = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
                !label.is_empty() && label.bytes().all(is_host_byte)
            };
            if !host.strip_suffix('.').unwrap_or(host).split('.').all(label) {
                return Some("the host is malformed");
            }
            let last = host.rsplit('.').find(|label| !label.is_empty());
            let is_number = last.is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
            let is_web = matches!(scheme, "http" | "https");
            if is_web && is_number && host.parse::<Ipv4Addr>().is_err() {
                return Some("the host is neither a name nor an address of four numbers");
            }
        }
    }
    match port {
        None => None,
        Some(port) if port.parse::<u16>().map(|n| n.to_string()).as_deref() != Ok(port) => {
            Some("the port is malformed")
        }
        Some(port) if default_port(scheme) == Some(port) => {
            Some("browsers leave the default port of a scheme out")
        }
        Some(_) => None,
    }
}

/// The nearest text that a browser may send.
fn canonical(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", &text));
    let scheme = match scheme {
        "ws" => "http",
        "wss" => "https",
        other => other,
    };
    let authority = rest.split(['/', '\\', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = host_and_port(authority);
    let port = port.filter(|port| !port.is_empty() && default_port(scheme) != Some(*port));
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => format!("[{}]", address.parse::<Ipv6Addr>().ok()?),
        None => host.to_owned(),
    };
    Some(match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

/// Takes `host:port` apart; the host of an IPv6 address keeps its brackets.
pub(super) fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let border = match authority.rfind(']') {
        Some(end) => authority[end..].find(':').map(|at| end + at),
        None => authority.find(':'),
    };
    match border {
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
        None => (authority, None),
    }
}

/// Port that browsers leave out (RFC 9110 §4.2).
pub(super) fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_browsers_send_are_taken_as_they_are() {
        for text in [
            "https://app.example.com",
            "http://localhost",
            "http://localhost:3000",
            "https://app.example.com:8443",
            "http://app.example.com:443",
            "https://xn--bcher-kva.example",
            "https://app.example.com.",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://[2001:db8::1]",
            "https://a_b.example.com",
            "capacitor://localhost",
            "chrome-extension://abcdefghijklmnop",
            "moz-extension://0b2c7a3e-5bd4-4d6c-8cf5-1c6f6f1b2a3d",
        ] {
            let origin: Origin = text.parse().unwrap();
            assert_eq!((origin.as_str(), &*origin.to_string()), (text, text));
        }
    }

    #[test]
    fn s51_an_origin_that_no_browser_sends_is_refused_with_the_mend() {
        for (text, mend) in [
            ("https://app.example.com/", Some("https://app.example.com")),
            (
                "https://app.example.com/login",
                Some("https://app.example.com"),
            ),
            ("https://app.example.com?x", Some("https://app.example.com")),
            ("https://app.example.com#x", Some("https://app.example.com")),
            ("https://App.Example.com", Some("https://app.example.com")),
            ("HTTPS://app.example.com", Some("https://app.example.com")),
            (
                "https://app.example.com:443",
                Some("https://app.example.com"),
            ),
            ("http://localhost:80/", Some("http://localhost")),
            ("https://app.example.com:", Some("https://app.example.com")),
            (
                "https://me@app.example.com",
                Some("https://app.example.com"),
            ),
            ("wss://app.example.com", Some("https://app.example.com")),
            ("app.example.com", Some("https://app.example.com")),
            ("localhost:3000", Some("https://localhost:3000")),
            ("https://[2001:db8:0:0::1]", Some("https://[2001:db8::1]")),
            ("https://bücher.example", None),
            ("https://*.example.com", None),
            ("*", None),
            ("null", None),
            ("file://", None),
            ("", None),
            ("https://", None),
            ("https:///", None),
            ("https://app..example.com", None),
            ("https://app example.com", None),
            ("https://127.1", None),
            ("https://[::1", None),
            ("https://app.example.com:0443", None),
            ("https://app.example.com:99999", None),
            ("https://app.example.com\n", None),
            ("1http://a", None),
        ] {
            let error = text.parse::<Origin>().unwrap_err();
            assert_eq!(error.mend.as_deref(), mend, "{error}");
            let words = error.to_string();
            assert!(words.contains("; write "), "{words}");
            assert!(!words.contains('\n'), "{words:?}");
        }
    }
}
