//! The layer, and what it can be told.

use std::{borrow::Cow, fmt, slice, sync::Arc};

use http::{Extensions, Request, request::Parts};
use jwt_revoke_core::{
    Access, Denied, Guard,
    guard::Checked,
    token::Scope,
    wire::{Json, Refusal, Render},
};
use tower_layer::Layer;

use crate::{extension::Passed, service::RevocationService, source::Source};

/// Lets a request through if its token is genuine and not revoked.
///
/// The token's [`Access`] is then in the request's extensions, where the extractors find it. A
/// request that is refused never reaches the inner service: it is answered with 400, 401, 403 or 503
/// as RFC 6750 §3 has it, so the error type of the service does not change.
///
/// The token is taken from `Authorization: Bearer ..` unless other places are named:
/// [`from_cookie`](Self::from_cookie), [`from_fn`](Self::from_fn). All places are read, and two
/// different tokens in one request are malformed (RFC 6750 §2), as is a second `Authorization`
/// header.
///
/// # Where to put it
///
/// Outside whatever it protects, and *inside* of what answers CORS preflights: a preflight
/// (`OPTIONS`) carries no credentials, so it would be answered 401. `HEAD` is checked like `GET`.
///
/// ```text
/// CorsLayer -> RevocationLayer -> RequireScopeLayer -> handlers
/// ```
///
/// In axum prefer [`Router::route_layer`](https://docs.rs/axum/0.8/axum/struct.Router.html#method.route_layer)
/// and add routes that need no token after it. `Router::layer` also covers the fallback, and with it
/// every unknown path of the router that this one is merged into or that is nested here: 401 for 404.
///
/// # Layers in layers
///
/// A token that this guard has checked for an outer layer is not checked again, unless the outer one
/// let it through in an outage ([`Outage::Allow`]) and this one would not. The access of another
/// guard counts for nothing: it is replaced, or removed where this layer is
/// [`optional`](Self::optional) and finds no token.
///
/// [`Outage::Allow`]: jwt_revoke_core::guard::Outage::Allow
#[derive(Clone, Debug)]
#[must_use = "a layer protects nothing until it is added to a service"]
pub struct RevocationLayer {
    settings: Arc<Settings>,
}

impl RevocationLayer {
    /// A layer that asks `guard` about the token in `Authorization: Bearer ..`, and refuses as
    /// [`Json`] does.
    ///
    /// The outage policy is the guard's: give a route one of its own with
    /// [`Guard::with_outage`](Guard::with_outage).
    pub fn new(guard: Guard) -> Self {
        let settings = Settings {
            guard,
            sources: Vec::new(),
            render: Arc::new(Json::new()),
            absence: Absence::Refused,
            scopes: Vec::new(),
        };
        Self {
            settings: Arc::new(settings),
        }
    }

    /// Lets a request *without* a token through; one with a bad token is still refused. Handlers
    /// tell the two apart with `Option<AuthUser>`.
    pub fn optional(self) -> Self {
        self.with(|settings| settings.absence = Absence::Allowed)
    }

    /// Renders refusals differently, those of the extractors and of
    /// [`RequireScopeLayer`](crate::RequireScopeLayer) included.
    pub fn with_render(self, render: impl Render) -> Self {
        self.with(|settings| settings.render = Arc::new(render))
    }

    /// Takes the token from `Authorization: Bearer ..`, the scheme in any case. This is the default;
    /// say it to have it *beside* other places.
    pub fn from_header(self) -> Self {
        self.with(|settings| settings.sources.push(Source::Header))
    }

    /// Takes the token from a cookie. Set it `Secure; HttpOnly; SameSite=Lax` (or `Strict`), best
    /// under a `__Host-` name: a cookie is sent with requests that other sites cause, so without
    /// `SameSite` every state-changing route needs its own defence against that.
    pub fn from_cookie(self, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        self.with(|settings| settings.sources.push(Source::Cookie(name)))
    }

    /// Takes the token from wherever `find` sees one: a query parameter for WebSockets (browsers can
    /// set no header there), a header of your own. Mind that URLs end up in logs.
    ///
    /// ```
    /// # use tower_jwt_revoke::RevocationLayer;
    /// # fn example(guard: jwt_revoke_core::Guard) -> RevocationLayer {
    /// RevocationLayer::new(guard)
    ///     .from_header()
    ///     .from_fn(|request| Some(request.uri.query()?.strip_prefix("ticket=")?.into()))
    /// # }
    /// ```
    pub fn from_fn<F>(self, find: F) -> Self
    where
        F: for<'a> Fn(&'a Parts) -> Option<Cow<'a, str>> + Send + Sync + 'static,
    {
        self.with(|settings| settings.sources.push(Source::Function(Arc::new(find))))
    }

    /// Refuses with 403 `insufficient_scope` unless the token has all of `scope`. Said twice, it
    /// takes both. A request without a token is refused even where the layer is
    /// [`optional`](Self::optional).
    pub fn require_scope(self, scope: Scope) -> Self {
        self.with(|settings| settings.scopes.push(scope))
    }

    /// The guard that is asked.
    pub fn guard(&self) -> &Guard {
        &self.settings.guard
    }

    /// What renders refusals.
    #[cfg(feature = "routes")]
    pub(crate) fn render(&self) -> Arc<dyn Render> {
        Arc::clone(&self.settings.render)
    }

    /// The token that a request offers, unchecked.
    #[cfg(feature = "routes")]
    pub(crate) fn offered<'a>(&self, request: &'a Parts) -> Result<Cow<'a, str>, Denied> {
        self.settings.offered(request)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for RevocationLayer {
    type Service = RevocationService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RevocationService::new(inner, Arc::clone(&self.settings))
    }
}

/// What a layer and its services share.
#[derive(Clone)]
pub(crate) struct Settings {
    guard: Guard,
    /// Empty means the header.
    sources: Vec<Source>,
    render: Arc<dyn Render>,
    absence: Absence,
    scopes: Vec<Scope>,
}

/// What becomes of a request without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
    Refused,
    Allowed,
}

impl Settings {
    /// Decides about the token of a request.
    pub(crate) fn check(&self, request: &Parts) -> Checked {
        if let Some(access) = request.extensions.get::<Access>()
            && self.guard.accepts(access)
        {
            return Checked::Now(Ok(access.clone()));
        }
        match self.offered(request) {
            Ok(token) => self.guard.check(&token),
            Err(denied) => Checked::Now(Err(denied)),
        }
    }

    fn offered<'a>(&self, request: &'a Parts) -> Result<Cow<'a, str>, Denied> {
        let sources = match self.sources.as_slice() {
            [] => slice::from_ref(&Source::Header),
            sources => sources,
        };
        Source::token(sources, request)
    }

    /// Notes the decision in the request, or says how it is refused.
    pub(crate) fn admit<B>(
        &self,
        decision: Result<Access, Denied>,
        request: &mut Request<B>,
    ) -> Result<(), Refusal> {
        match self.judge(decision) {
            Ok(access) => {
                self.note(access, request.extensions_mut());
                Ok(())
            }
            Err(denied) => Err(Refusal::of(&denied, &*self.render)),
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

    fn note(&self, access: Option<Access>, extensions: &mut Extensions) {
        match access {
            Some(access) => extensions.insert(access),
            // Whatever stands there is of another guard.
            None => extensions.remove::<Access>(),
        };
        extensions.insert(Passed::new(Arc::clone(&self.render)));
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("guard", &self.guard)
            .field("sources", &self.sources)
            .field("absence", &self.absence)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
