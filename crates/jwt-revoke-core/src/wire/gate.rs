//! The layer of every adapter: where tokens are looked for, and what becomes of a request.

use std::{borrow::Cow, fmt, slice, sync::Arc};

use crate::{
    Access, Denied, Guard,
    guard::Checked,
    token::Scope,
    wire::{Cookies, Offered, Origin, Passed, Refusal, Render, Renderer, cross_origin},
};

/// What a layer in front of routes decides, whatever the framework. `R` is the framework's request,
/// as functions of the application see it.
///
/// An adapter asks [`check`](Self::check), then [`admit`](Self::admit), and puts what it is given
/// into the extensions of the request, or answers the refusal.
pub struct Gate<R: ?Sized> {
    guard: Guard,
    /// Empty means the header.
    sources: Vec<Source<R>>,
    render: Renderer,
    absence: Absence,
    scopes: Vec<Scope>,
    /// Other origins whose pages may use cookies to change state.
    origins: Vec<Origin>,
}

/// What a layer reads of a request: headers, and two pseudo-headers (RFC 9113 §8.3.1) that every
/// version of HTTP has in its request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// `Authorization` (RFC 9110 §11.6.2).
    Authorization,
    /// `Cookie` (RFC 6265 §4.2).
    Cookie,
    /// The method, of which there is one.
    Method,
    /// The authority of the target, if it has one.
    Authority,
    /// `Host` (RFC 9110 §7.2).
    Host,
    /// `Origin` (RFC 6454 §7).
    Origin,
    /// `Sec-Fetch-Site` (Fetch Metadata §2.4).
    SecFetchSite,
    /// `Upgrade` (RFC 9110 §7.8).
    Upgrade,
    /// `X-Requested-With`, which pages of other origins cannot add without asking (CORS).
    XRequestedWith,
}

impl Field {
    /// Name of the header, in lower case; `None` for the method and the authority.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Method | Self::Authority => None,
            Self::Authorization => Some("authorization"),
            Self::Cookie => Some("cookie"),
            Self::Host => Some("host"),
            Self::Origin => Some("origin"),
            Self::SecFetchSite => Some("sec-fetch-site"),
            Self::Upgrade => Some("upgrade"),
            Self::XRequestedWith => Some("x-requested-with"),
        }
    }
}

/// What a request that is let through brings along in its extensions.
#[derive(Clone, Debug)]
pub enum Admitted {
    /// The access of its token, which knows of the layer.
    Known(Access),
    /// The mark of the layer alone: there is no token. The adapter removes an [`Access`] that is there, which is
    /// of another guard.
    Anonymous(Passed),
}

/// A place in a request where a token may stand.
enum Source<R: ?Sized> {
    /// `Authorization: Bearer ..`.
    Header,
    /// The cookie of this name.
    Cookie(Arc<str>),
    /// Wherever the application looks.
    Function(Arc<Find<R>>),
}

type Find<R> = dyn for<'a> Fn(&'a R) -> Option<Cow<'a, str>> + Send + Sync;

/// What becomes of a request without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
    Refused,
    Allowed,
}

impl<R: ?Sized> Gate<R> {
    /// Asks `guard` about the token in `Authorization: Bearer ..`, and refuses as [`Json`](crate::wire::Json) does.
    pub fn new(guard: Guard) -> Self {
        Self {
            guard,
            sources: Vec::new(),
            render: Renderer::default(),
            absence: Absence::Refused,
            scopes: Vec::new(),
            origins: Vec::new(),
        }
    }

    /// Lets requests without a token through.
    pub fn optional(&mut self) {
        self.absence = Absence::Allowed;
    }

    /// Renders refusals differently.
    pub fn with_render(&mut self, render: impl Render) {
        self.render = Renderer::new(render);
    }

    /// Also looks at `Authorization`.
    pub fn from_header(&mut self) {
        self.sources.push(Source::Header);
    }

    /// Also looks at a cookie, and refuses requests that a page of another origin may have caused by
    /// it: those that change state or open a WebSocket, unless their token is in `Authorization` too.
    ///
    /// # Panics
    ///
    /// When no cookie can have that name (RFC 6265 §4.1.1).
    pub fn from_cookie(&mut self, name: impl Into<Arc<str>>) {
        let name = name.into();
        assert!(
            is_cookie_name(&name),
            "{name:?} is no name of a cookie: write letters, digits, - and _, such as \"session\""
        );
        self.sources.push(Source::Cookie(name));
    }

    /// Also looks at the access cookie, and trusts the origins that were named for the cookies.
    pub fn from_cookies(&mut self, cookies: &Cookies) {
        self.from_cookie(cookies.access());
        self.origins.extend_from_slice(cookies.origins());
    }

    /// Trusts pages of another origin to change state by cookie.
    pub fn with_origin(&mut self, origin: Origin) {
        self.origins.push(origin);
    }

    /// Also looks where `find` does.
    pub fn from_fn<F>(&mut self, find: F)
    where
        F: for<'a> Fn(&'a R) -> Option<Cow<'a, str>> + Send + Sync + 'static,
    {
        self.sources.push(Source::Function(Arc::new(find)));
    }

    /// Asks for a scope as well.
    pub fn require_scope(&mut self, scope: Scope) {
        self.scopes.push(scope);
    }

    /// The guard that is asked.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// What renders refusals.
    pub fn render(&self) -> &Renderer {
        &self.render
    }

    /// Decides about the token of a request.
    ///
    /// `known` is the access that a layer outside has left in the request: a token that this guard
    /// has checked is not checked again. `values` gives the values of all fields of a name.
    pub fn check<'a, V>(
        &self,
        request: &'a R,
        known: Option<&Access>,
        values: impl Fn(Field) -> V,
    ) -> Checked
    where
        V: IntoIterator<Item = &'a [u8]>,
    {
        if let Some(access) = known
            && self.guard.accepts(access)
        {
            return Checked::Now(Ok(access.clone()));
        }
        let offered = self.collect(request, &values);
        let is_ambient = offered.is_ambient();
        let token = match offered.decide() {
            Ok(token) => token,
            Err(denied) => return Checked::Now(Err(denied)),
        };
        // A browser adds cookies whatever page asks it to (RFC 6265 §8.2); nothing else is added.
        if is_ambient
            && cross_origin::matters(&values)
            && let Err(reason) = cross_origin::admit(&values, &self.origins)
        {
            return Checked::Now(Err(Denied::CrossOrigin(reason)));
        }
        self.guard.check(&token)
    }

    /// The one token that a request offers in all of the places, unchecked.
    ///
    /// # Errors
    ///
    /// Those of [`Offered::decide`].
    pub fn offered<'a, V>(
        &self,
        request: &'a R,
        values: impl Fn(Field) -> V,
    ) -> Result<Cow<'a, str>, Denied>
    where
        V: IntoIterator<Item = &'a [u8]>,
    {
        self.collect(request, &values).decide()
    }

    fn collect<'a, V>(&self, request: &'a R, values: impl Fn(Field) -> V) -> Offered<'a>
    where
        V: IntoIterator<Item = &'a [u8]>,
    {
        let sources = match self.sources.as_slice() {
            [] => slice::from_ref(&Source::Header),
            sources => sources,
        };
        let mut offered = Offered::new();
        for source in sources {
            match source {
                Source::Header => offered.authorization(values(Field::Authorization)),
                Source::Cookie(name) => offered.cookies(name, values(Field::Cookie)),
                Source::Function(find) => {
                    if let Some(token) = find(request) {
                        offered.token(token);
                    }
                }
            }
        }
        offered
    }

    /// What the adapter puts into the extensions of a request that is let through.
    ///
    /// # Errors
    ///
    /// How it is refused.
    pub fn admit(&self, decision: Result<Access, Denied>) -> Result<Admitted, Refusal> {
        match self.judge(decision) {
            Ok(Some(access)) => Ok(Admitted::Known(access.passed(&self.render))),
            Ok(None) => Ok(Admitted::Anonymous(Passed::new(self.render.clone()))),
            Err(denied) => Err(Refusal::of(&denied, &self.render)),
        }
    }

    fn judge(&self, decision: Result<Access, Denied>) -> Result<Option<Access>, Denied> {
        match decision {
            Ok(access) => {
                for scope in &self.scopes {
                    access.require_scope(scope)?;
                }
                Ok(Some(access))
            }
            // Who has no token has no scope either.
            Err(Denied::Missing) if self.absence == Absence::Allowed && self.scopes.is_empty() => {
                Ok(None)
            }
            Err(denied) => Err(denied),
        }
    }
}

impl<R: ?Sized> Clone for Gate<R> {
    fn clone(&self) -> Self {
        Self {
            guard: self.guard.clone(),
            sources: self.sources.clone(),
            render: self.render.clone(),
            absence: self.absence,
            scopes: self.scopes.clone(),
            origins: self.origins.clone(),
        }
    }
}

impl<R: ?Sized> Clone for Source<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Header => Self::Header,
            Self::Cookie(name) => Self::Cookie(Arc::clone(name)),
            Self::Function(find) => Self::Function(Arc::clone(find)),
        }
    }
}

impl<R: ?Sized> fmt::Debug for Gate<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("guard", &self.guard)
            .field("sources", &self.sources)
            .field("absence", &self.absence)
            .field("scopes", &self.scopes)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}

impl<R: ?Sized> fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("Header"),
            Self::Cookie(name) => f.debug_tuple("Cookie").field(name).finish(),
            Self::Function(_) => f.debug_tuple("Function").finish_non_exhaustive(),
        }
    }
}

/// RFC 6265 §4.1.1: a token of RFC 9110 §5.6.2.
fn is_cookie_name(name: &str) -> bool {
    let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_tchar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s51_a_name_that_no_cookie_has_is_told_apart() {
        for name in ["session", "__Host-access", "a.b", "x!#$%&'*+-.^_`|~1"] {
            assert!(is_cookie_name(name), "{name}");
        }
        for name in [
            "", "a b", "a=b", "a;b", "a,b", "\"a\"", "ä", "a\n", "[a]", "a/b",
        ] {
            assert!(!is_cookie_name(name), "{name:?}");
        }
    }
}
