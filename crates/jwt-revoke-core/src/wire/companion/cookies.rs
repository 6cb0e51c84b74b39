//! Tokens in cookies, for browsers.

use std::fmt;

use super::{Asked, Reply};
use crate::{
    defaults,
    session::Pair,
    wire::{CrossOrigin, Offered, Origin, Refusal, cross_origin},
};

/// How browsers keep tokens: in cookies that no script can read, sent over TLS only.
///
/// | cookie | sent to | holds |
/// | --- | --- | --- |
/// | `__Host-access` | every path | the access token |
/// | `__Secure-refresh` | the companion routes | the refresh token |
///
/// **A sibling domain can plant the second.** A host beside yours (`blog.example.com` beside
/// `app.example.com`), or whoever answers in its name, can set `__Secure-refresh` for all of
/// `example.com`. Beside your own there are then two cookies of one name, which is refused: no refresh
/// and no logout until the planted one is gone. Before a login it can be the intruder's own refresh
/// token, and the next refresh signs your user in as the intruder. Only the prefix `__Host-` keeps
/// siblings out, and it asks for `Path=/` (RFC 6265bis §4.1.3): mount the routes at the root
/// (`Cookies::under("/")`), and the cookie is called `__Host-refresh`. The price is that it is sent
/// with every request. Do so unless every host of the domain is yours and as well kept.
///
/// Browsers keep `Secure` cookies of `https:` only, and some also those of `http://localhost`, for
/// development (Chromium does).
///
/// Browsers send cookies whatever page causes a request. So besides `SameSite`, requests that change
/// state, or open a WebSocket, and bring one of these cookies must come from this origin: by
/// `Sec-Fetch-Site`, else by `Origin` against the host, and outside of browsers, or where one is too
/// old for both, by an `X-Requested-With` header, which no page of another origin can add without
/// being asked for (CORS). The host is the target's own authority, else `Host`: behind a proxy that
/// rewrites it, have the proxy pass `Host` on as it came.
///
/// The companion routes and every layer that takes its token from a cookie (`from_cookies`,
/// `from_cookie`) require that by themselves. A login has no token yet: it requires it by the
/// extractor `SameOrigin` of the adapter
/// ([`Companion::require_same_origin`](super::Companion::require_same_origin)).
///
/// Tabs share cookies. When two refresh at once, both get the same successor (see
/// [`Sessions::with_grace`](crate::session::Sessions::with_grace)); a tab that was too slow for that
/// is refused and nothing is taken from the other. Better that they do not run at once at all, and
/// without a grace they must not: the second would be taken for a thief. A lock of all tabs:
///
/// ```js
/// async function api(path, init) {
///   const since = Date.now();
///   const response = await fetch(path, init);
///   if (response.status !== 401) return response;
///   const fresh = await navigator.locks.request("refresh", async () => {
///     // Another tab may have refreshed since this one asked.
///     if (Number(localStorage.refreshedAt ?? 0) >= since) return true;
///     const refreshed = await fetch("/auth/refresh", { method: "POST" });
///     if (refreshed.ok) localStorage.refreshedAt = Date.now();
///     return refreshed.ok;
///   });
///   return fresh ? fetch(path, init) : response; // 401: to the login; 503: later
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Cookies {
    access: &'static str,
    refresh: &'static str,
    path: Box<str>,
    same_site: SameSite,
    origins: Vec<Origin>,
}

impl Cookies {
    /// For routes that browsers reach under `path`, such as `/auth`: the refresh cookie is sent
    /// there and nowhere else.
    ///
    /// # Errors
    ///
    /// [`CookiePathError`] when no browser would send the cookie to any path: `path` does not begin
    /// with `/`, holds a character that is encoded in paths or ends them, has a segment that
    /// browsers resolve (`.`, `..`) or that is a parameter of a router (`{id}`), or is longer than
    /// [`MAX_COOKIE_PATH_BYTES`](defaults::MAX_COOKIE_PATH_BYTES).
    pub fn under(path: &str) -> Result<Self, CookiePathError> {
        let is_sent = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@%|[]^".contains(&b);
        let is_resolved = |segment: &str| matches!(segment, "." | "..");
        let is_short = path.len() <= defaults::MAX_COOKIE_PATH_BYTES;
        if !path.starts_with('/')
            || !path.bytes().all(is_sent)
            || path.split('/').any(is_resolved)
            || !is_short
        {
            return Err(CookiePathError(path.into()));
        }
        Ok(Self {
            access: "__Host-access",
            refresh: match path {
                "/" => "__Host-refresh",
                _ => "__Secure-refresh",
            },
            path: path.into(),
            same_site: SameSite::Lax,
            origins: Vec::new(),
        })
    }

    /// Whether pages of other sites can cause requests with the access cookie. Default
    /// [`SameSite::Lax`]. The refresh cookie is always `Strict`: only scripts of this site send it.
    pub fn with_same_site(self, same_site: SameSite) -> Self {
        Self { same_site, ..self }
    }

    /// Another origin whose pages may change state here, such as
    /// `"https://app.example.com".parse()?`. It also takes CORS with credentials for them to be able
    /// to.
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origins.push(origin);
        self
    }

    /// The other origins whose pages may change state here.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// The name of the cookie with the access token, for the layer.
    pub fn access(&self) -> &'static str {
        self.access
    }

    /// The name of the cookie with the refresh token.
    pub fn refresh(&self) -> &'static str {
        self.refresh
    }

    /// Whether the request brings one of these cookies.
    pub(super) fn are_in(&self, asked: &Asked<'_>) -> bool {
        [self.access, self.refresh].iter().any(|name| {
            let mut offered = Offered::new();
            offered.cookies(name, asked.all("cookie"));
            !matches!(offered.decide(), Err(crate::Denied::Missing))
        })
    }

    /// Whether a request that changes state comes from where it may.
    pub(super) fn admit(&self, asked: &Asked<'_>) -> Result<(), CrossOrigin> {
        cross_origin::admit(|field| asked.values(field), &self.origins)
    }

    /// The largest token that fits into each of these cookies, in bytes.
    pub(super) fn max_token_bytes(&self) -> usize {
        let name = self.access.len().max(self.refresh.len());
        defaults::MAX_COOKIE_BYTES - name
    }

    /// Hands the pair to a browser.
    pub(super) fn set(&self, pair: &Pair) -> Reply {
        let cookies = [
            (self.access, pair.access_token()),
            (self.refresh, pair.refresh_token()),
        ];
        for (name, token) in cookies {
            let size = name.len() + token.len();
            if size > defaults::MAX_COOKIE_BYTES {
                // Browsers would drop it without a word, and the user would never be logged in. The sessions
                // of these routes would have opened no such session.
                tracing::error!(
                    name,
                    size,
                    "the token is too large for a cookie; log in by the sessions of the routes"
                );
                return Refusal::server_error().into();
            }
        }
        let access = self.access_cookie(pair.access_token(), pair.expires_in().as_secs());
        let lifetime = pair.refresh_expires_in().as_secs();
        Reply::tokens_elsewhere(pair)
            .with_header("set-cookie", &access)
            .with_header(
                "set-cookie",
                &self.refresh_cookie(pair.refresh_token(), lifetime),
            )
    }

    /// Has a browser forget those cookies that `is_over` names.
    pub(super) fn clear(&self, mut reply: Reply, is_over: impl Fn(&str) -> bool) -> Reply {
        if is_over(self.access) {
            reply = reply.with_header("set-cookie", &self.access_cookie("", 0));
        }
        if is_over(self.refresh) {
            reply = reply.with_header("set-cookie", &self.refresh_cookie("", 0));
        }
        reply
    }

    fn access_cookie(&self, value: &str, max_age: u64) -> String {
        let (name, same_site) = (self.access, self.same_site);
        format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; Secure; SameSite={same_site}")
    }

    fn refresh_cookie(&self, value: &str, max_age: u64) -> String {
        let (name, path) = (self.refresh, &self.path);
        format!("{name}={value}; Path={path}; Max-Age={max_age}; HttpOnly; Secure; SameSite=Strict")
    }
}

/// Whether a browser sends a cookie with requests that other sites cause (RFC 6265bis §4.1.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed.
    #[default]
    Lax,
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
        })
    }
}

/// The text is no path that a cookie can be limited to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no path that a browser sends a cookie to: give the path that browsers see, such as \
     \"/auth\""
)]
pub struct CookiePathError(Box<str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_what_the_path_allows() {
        assert_eq!(Cookies::under("/").unwrap().refresh(), "__Host-refresh");
        let cookies = Cookies::under("/auth").unwrap();
        assert_eq!(cookies.refresh(), "__Secure-refresh");
        assert_eq!(
            cookies.access_cookie("t", 900),
            "__Host-access=t; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=Lax"
        );
        assert_eq!(
            cookies.refresh_cookie("", 0),
            "__Secure-refresh=; Path=/auth; Max-Age=0; HttpOnly; Secure; SameSite=Strict"
        );
    }

    #[test]
    fn a_path_cannot_bring_attributes_along() {
        for path in [
            "",
            "auth",
            "/a; Domain=example.com",
            "/a\r\nb",
            "/ä",
            "/a b",
            "/a?b",
            "/a#b",
            "/a\\b",
            "/a/../b",
            "/./a",
            "/{tenant}/auth",
            "/a<b",
            "https://example.com/auth",
            &format!("/{}", "a".repeat(1024)),
        ] {
            assert!(Cookies::under(path).is_err(), "{path:?}");
        }
    }
}
