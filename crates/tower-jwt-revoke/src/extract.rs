//! Extractors for axum.

use axum_core::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use jwt_revoke_core::{Access, wire::Caller};
use serde::de::DeserializeOwned;

use crate::{
    response::response,
    scope::caller,
    user::{AuthRejection, AuthUser},
};

impl<S, C> FromRequestParts<S> for AuthUser<C>
where
    S: Sync,
    C: DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        Ok(Self(caller(&parts.extensions).user()?))
    }
}

impl<S, C> OptionalFromRequestParts<S> for AuthUser<C>
where
    S: Sync,
    C: DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        let caller = caller(&parts.extensions).optional()?;
        let user = caller.map(Caller::user).transpose()?;
        Ok(user.map(Self))
    }
}

/// The bare proof that a token was checked, with the rejections of [`AuthUser`]: for what a guard
/// wants to be given, such as [`Target::logout`](jwt_revoke_core::guard::Target::logout).
#[derive(Clone, Debug)]
pub struct Token(pub Access);

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        Ok(Self(caller(&parts.extensions).access()?))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Token {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        let caller = caller(&parts.extensions).optional()?;
        let access = caller.map(Caller::access).transpose()?;
        Ok(access.map(Self))
    }
}

impl IntoResponse for AuthRejection {
    fn into_response(self) -> Response {
        response(self.0.refusal()).map(Body::from)
    }
}
