//! The layer of every adapter: where tokens are looked for, and what becomes of a request.

use std::{borrow::Cow, fmt, slice, sync::Arc};

use crate::{
    Access, Denied, Guard,
    guard::Checked,
    token::Scope,
    wire::{Offered, Passed, Refusal, Render, Renderer},
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
}

/// A header in which a token may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `Authorization` (RFC 9110 §11.6.2).
    Authorization,
    /// `Cookie` (RFC 6265 §4.2).
    Cookie,
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

    /// Also looks at a cookie.
    pub fn from_cookie(&mut self, name: impl Into<Arc<str>>) {
        self.sources.push(Source::Cookie(name.into()));
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
    /// has checked is not checked again. `values` gives the values of all fields of a header.
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
        match self.offered(request, values) {
            Ok(token) => self.guard.check(&token),
            Err(denied) => Checked::Now(Err(denied)),
        }
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
        offered.decide()
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
