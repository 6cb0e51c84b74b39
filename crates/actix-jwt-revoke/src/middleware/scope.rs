//! A middleware that asks for a scope.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    Error,
    body::EitherBody,
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};
use jwt_revoke_core::token::Scope;

use super::ResponseFuture;
use crate::{extract::caller, response::response};

/// Refuses with 403 `insufficient_scope` unless the token has all of a scope (RFC 6750 §3.1).
///
/// Put it inside of a [`RevocationLayer`](crate::RevocationLayer), which checks the token; a request
/// that has passed none is answered 500. A request without a token, let through by an optional
/// layer, is answered 401.
///
/// ```
/// # use actix_jwt_revoke::{AuthUser, RequireScopeLayer, RevocationLayer};
/// # use actix_web::{Resource, web};
/// # use jwt_revoke_core::{Guard, token::Scope};
/// # async fn purge(_: AuthUser) -> &'static str { "" }
/// # fn example(guard: Guard) {
/// let admin = Scope::parse("admin").unwrap();
/// web::resource("/purge")
///     .route(web::post().to(purge))
///     .wrap(RequireScopeLayer::new(admin)) // inside
///     .wrap(RevocationLayer::new(guard)); // the last one is outside
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a middleware protects nothing until something is wrapped in it"]
pub struct RequireScopeLayer {
    scope: Arc<Scope>,
}

impl RequireScopeLayer {
    /// A middleware that lets through what has every scope token of `scope`.
    pub fn new(scope: Scope) -> Self {
        let scope = Arc::new(scope);
        Self { scope }
    }
}

impl<S, B> Transform<S, ServiceRequest> for RequireScopeLayer
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = RequireScopeService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let scope = Arc::clone(&self.scope);
        ready(Ok(RequireScopeService { inner, scope }))
    }
}

/// The service that [`RequireScopeLayer`] makes.
#[derive(Clone, Debug)]
pub struct RequireScopeService<S> {
    inner: S,
    scope: Arc<Scope>,
}

impl<S, B> Service<ServiceRequest> for RequireScopeService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let decision = caller(request.request()).require_scope(&self.scope);
        match decision {
            Ok(()) => ResponseFuture::calling(self.inner.call(request)),
            Err(rejection) => {
                let response = response(rejection.refusal());
                ResponseFuture::refused(request.into_response(response))
            }
        }
    }
}
