//! The layer, and what it can be told.

use std::{borrow::Cow, sync::Arc};

use http::{Extensions, HeaderValue, request::Parts, uri::Authority};
use jwt_revoke_core::{
    Access, Denied, Guard,
    guard::Checked,
    wire::{Admitted, Field, Gate, Refusal},
};
use tower_layer::Layer;

use crate::service::RevocationService;

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
    gate: Arc<Gate<Parts>>,
}

impl RevocationLayer {
    /// A layer that asks `guard` about the token in `Authorization: Bearer ..`, and refuses as
    /// [`Json`](jwt_revoke_core::wire::Json) does.
    ///
    /// The outage policy is the guard's: give a route one of its own with
    /// [`Guard::with_outage`](Guard::with_outage).
    pub fn new(guard: Guard) -> Self {
        let gate = Arc::new(Gate::new(guard));
        Self { gate }
    }

    jwt_revoke_core::layer_methods!();

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
        self.with(|gate| gate.from_fn(find))
    }

    /// What renders refusals.
    #[cfg(feature = "routes")]
    pub(crate) fn render(&self) -> jwt_revoke_core::wire::Renderer {
        self.gate.render().clone()
    }

    /// The token that a request offers, unchecked.
    #[cfg(feature = "routes")]
    pub(crate) fn offered<'a>(&self, request: &'a Parts) -> Result<Cow<'a, str>, Denied> {
        self.gate.offered(request, |field| values(request, field))
    }

    /// Decides about the token of a request.
    pub(crate) fn check(&self, request: &Parts) -> Checked {
        let known = request.extensions.get::<Access>();
        self.gate
            .check(request, known, |field| values(request, field))
    }

    /// Notes the decision in the request, or says how it is refused.
    pub(crate) fn admit(
        &self,
        decision: Result<Access, Denied>,
        extensions: &mut Extensions,
    ) -> Result<(), Refusal> {
        match self.gate.admit(decision)? {
            Admitted::Known(access) => {
                extensions.insert(access);
            }
            Admitted::Anonymous(passed) => {
                extensions.remove::<Access>();
                extensions.insert(passed);
            }
        }
        Ok(())
    }

    fn with(mut self, change: impl FnOnce(&mut Gate<Parts>)) -> Self {
        change(Arc::make_mut(&mut self.gate));
        self
    }
}

impl<S> Layer<S> for RevocationLayer {
    type Service = RevocationService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RevocationService::new(inner, self.clone())
    }
}

/// Values of all fields of a name.
fn values(request: &Parts, field: Field) -> impl Iterator<Item = &[u8]> {
    let pseudo = match field {
        Field::Method => Some(request.method.as_str()),
        Field::Authority => request.uri.authority().map(Authority::as_str),
        _ => None,
    };
    let named = field.name().map(|name| request.headers.get_all(name));
    let named = named.into_iter().flatten().map(HeaderValue::as_bytes);
    pseudo.map(str::as_bytes).into_iter().chain(named)
}
