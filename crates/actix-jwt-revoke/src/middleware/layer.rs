//! The middleware, and what it can be told.

use std::{
    borrow::Cow,
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::EitherBody,
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::{header::HeaderValue, uri::Authority},
};
use jwt_revoke_core::{
    Access, Denied, Guard,
    guard::Checked,
    wire::{Admitted, Field, Gate, Refusal},
};

use super::RevocationService;

/// Lets a request through if its token is genuine and not revoked.
///
/// The token's [`Access`] is then in the request's extensions, where the extractors find it. A
/// request that is refused never reaches the service inside: it is answered with 400, 401, 403 or 503
/// as RFC 6750 §3 has it. That is a response and not an error, so whatever is wrapped around sees it
/// like any other.
///
/// The token is taken from `Authorization: Bearer ..` unless other places are named:
/// [`from_cookie`](Self::from_cookie), [`from_fn`](Self::from_fn). All places are read, and two
/// different tokens in one request are malformed (RFC 6750 §2), as is a second `Authorization`
/// header.
///
/// # Where to put it
///
/// Around whatever it protects, and *inside* of what answers CORS preflights: a preflight
/// (`OPTIONS`) carries no credentials, so it would be answered 401. In actix-web the last `wrap` is
/// outside. `HEAD` is checked like `GET`.
///
/// ```
/// # use actix_jwt_revoke::{AuthUser, RevocationLayer};
/// # use actix_web::{App, middleware::Logger, web};
/// # async fn me(_: AuthUser) -> &'static str { "" }
/// # fn example(guard: jwt_revoke_core::Guard) {
/// let api = web::scope("/api")
///     .route("/me", web::get().to(me))
///     .wrap(RevocationLayer::new(guard)) // inside
///     .wrap(Logger::default()); // outside
/// let app = App::new().service(api);
/// # }
/// ```
///
/// `App::wrap` and `Scope::wrap` cover unknown paths below them, and `Resource::wrap` other methods:
/// 401 for 404 and 405. `Route::wrap` covers its route alone.
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
#[must_use = "a middleware protects nothing until something is wrapped in it"]
pub struct RevocationLayer {
    gate: Arc<Gate<HttpRequest>>,
}

impl RevocationLayer {
    /// A middleware that asks `guard` about the token in `Authorization: Bearer ..`, and refuses as
    /// [`Json`](jwt_revoke_core::wire::Json) does.
    ///
    /// The outage policy is the guard's: give a route one of its own with
    /// [`Guard::with_outage`](Guard::with_outage).
    pub fn new(guard: Guard) -> Self {
        Self {
            gate: Arc::new(Gate::new(guard)),
        }
    }

    jwt_revoke_core::layer_methods!();

    /// Takes the token from wherever `find` sees one: a query parameter for WebSockets (browsers can
    /// set no header there), a header of your own. Mind that URLs end up in logs.
    ///
    /// ```
    /// # use actix_jwt_revoke::RevocationLayer;
    /// # fn example(guard: jwt_revoke_core::Guard) -> RevocationLayer {
    /// RevocationLayer::new(guard)
    ///     .from_header()
    ///     .from_fn(|request| Some(request.uri().query()?.strip_prefix("ticket=")?.into()))
    /// # }
    /// ```
    pub fn from_fn<F>(self, find: F) -> Self
    where
        F: for<'a> Fn(&'a HttpRequest) -> Option<Cow<'a, str>> + Send + Sync + 'static,
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
    pub(crate) fn offered<'a>(&self, request: &'a HttpRequest) -> Result<Cow<'a, str>, Denied> {
        self.gate.offered(request, |field| values(request, field))
    }

    pub(super) fn check(&self, request: &HttpRequest) -> Checked {
        // Not borrowed any more when the application's function looks at the request.
        let known = request.extensions().get::<Access>().cloned();
        self.gate
            .check(request, known.as_ref(), |field| values(request, field))
    }

    /// Notes the decision in the request, or says how it is refused.
    pub(super) fn admit(
        &self,
        decision: Result<Access, Denied>,
        request: &ServiceRequest,
    ) -> Result<(), Refusal> {
        let admitted = self.gate.admit(decision)?;
        let mut extensions = request.extensions_mut();
        match admitted {
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

    fn with(mut self, change: impl FnOnce(&mut Gate<HttpRequest>)) -> Self {
        change(Arc::make_mut(&mut self.gate));
        self
    }
}

impl<S, B> Transform<S, ServiceRequest> for RevocationLayer
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = RevocationService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(RevocationService::new(inner, self.clone())))
    }
}

/// Values of all fields of a name.
fn values(request: &HttpRequest, field: Field) -> impl Iterator<Item = &[u8]> {
    let pseudo = match field {
        Field::Method => Some(request.method().as_str()),
        Field::Authority => request.uri().authority().map(Authority::as_str),
        _ => None,
    };
    let named = field.name().map(|name| request.headers().get_all(name));
    let named = named.into_iter().flatten().map(HeaderValue::as_bytes);
    pseudo.map(str::as_bytes).into_iter().chain(named)
}
