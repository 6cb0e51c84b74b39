//! A layer that asks for a scope.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request, Response};
use jwt_revoke_core::{token::Scope, wire::Caller};
use tower_layer::Layer;
use tower_service::Service;

use crate::{future::ResponseFuture, response::ResponseBody};

/// Refuses with 403 `insufficient_scope` unless the token has all of a scope (RFC 6750 §3.1).
///
/// Put it inside of a [`RevocationLayer`](crate::RevocationLayer), which checks the token; a request
/// that has passed none is answered 500. A request without a token, let through by an optional
/// layer, is answered 401.
///
/// ```
/// use jwt_revoke_core::{Guard, token::Scope};
/// use tower_jwt_revoke::{RequireScopeLayer, RevocationLayer};
///
/// fn admins_only(guard: Guard) -> (RevocationLayer, RequireScopeLayer) {
///     let scope = Scope::parse("admin").unwrap();
///     // Of a tuple of layers, the first is outside.
///     (RevocationLayer::new(guard), RequireScopeLayer::new(scope))
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer protects nothing until it is added to a service"]
pub struct RequireScopeLayer {
    scope: Arc<Scope>,
}

impl RequireScopeLayer {
    /// A layer that lets through what has every scope token of `scope`.
    pub fn new(scope: Scope) -> Self {
        let scope = Arc::new(scope);
        Self { scope }
    }
}

impl<S> Layer<S> for RequireScopeLayer {
    type Service = RequireScopeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let scope = Arc::clone(&self.scope);
        RequireScopeService { inner, scope }
    }
}

/// The service that [`RequireScopeLayer`] makes.
#[derive(Clone, Debug)]
pub struct RequireScopeService<S> {
    inner: S,
    scope: Arc<Scope>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireScopeService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match caller(request.extensions()).require_scope(&self.scope) {
            Ok(()) => ResponseFuture::calling(self.inner.call(request)),
            Err(rejection) => ResponseFuture::refused(rejection.refusal()),
        }
    }
}

/// What the layers outside of here have found out.
pub(crate) fn caller(extensions: &Extensions) -> Caller {
    Caller::of(extensions.get(), extensions.get())
}
