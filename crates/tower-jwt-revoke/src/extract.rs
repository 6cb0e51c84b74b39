//! Extractors.

use std::{fmt, sync::Arc};

use axum_core::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{Extensions, request::Parts};
use jwt_revoke_core::{
    Access, Denied, Timestamp,
    guard::NoClaims,
    token::{ClientId, Jti, Scope, SessionId, Subject},
    wire::{Refusal, Render},
};
use serde::de::DeserializeOwned;

use crate::{MissingAccess, extension::Standing, response::response};

/// The user whose token was checked, and the application's claims in it.
///
/// `Option<AuthUser>` is `None` for a request without a token, which only an
/// [`optional`](crate::RevocationLayer::optional) layer lets through; a bad token never gets here.
///
/// # Rejections
///
/// [`AuthRejection::MissingAccess`] (500) without a layer, for `Option<AuthUser>` too.
/// [`AuthRejection::Denied`] when the claims do not fit `C` (401 `invalid_token`; the log tells the
/// place, not the value), or when an optional layer let a request without a token through to a
/// handler that needs one (401).
///
/// ```
/// use tower_jwt_revoke::AuthUser;
///
/// #[derive(serde::Deserialize)]
/// struct Claims {
///     tenant: String,
/// }
///
/// async fn me(user: AuthUser<Claims>) -> String {
///     let name = user.subject().map_or("nobody", |subject| subject.as_str());
///     format!("{name} of {}", user.claims.tenant)
/// }
/// ```
pub struct AuthUser<C = NoClaims> {
    /// The proof that the token was checked.
    pub access: Access,
    /// The claims, parsed once, however often they are extracted.
    pub claims: Arc<C>,
    render: Arc<dyn Render>,
}

impl<C> AuthUser<C> {
    /// Who it is. `None` only where the verifier allows tokens without `sub`.
    pub fn subject(&self) -> Option<&Subject> {
        self.access.subject()
    }

    /// The session the token belongs to.
    pub fn session(&self) -> Option<&SessionId> {
        self.access.session()
    }

    /// The token's own identifier. `None` only where the verifier allows tokens without `jti`.
    pub fn jti(&self) -> Option<&Jti> {
        self.access.jti()
    }

    /// The OAuth client the token was issued to.
    pub fn client(&self) -> Option<&ClientId> {
        self.access.client()
    }

    /// What the token may be used for.
    pub fn scope(&self) -> &Scope {
        self.access.scope()
    }

    /// When the token lapses.
    pub fn expires_at(&self) -> Timestamp {
        self.access.expires_at()
    }

    /// Refuses, as the layer would, unless the token has every scope token of `required`. For a
    /// whole route there is [`RequireScopeLayer`](crate::RequireScopeLayer).
    ///
    /// # Errors
    ///
    /// A response of 403 `insufficient_scope`.
    ///
    /// ```
    /// use jwt_revoke_core::token::Scope;
    /// use tower_jwt_revoke::{AuthRejection, AuthUser};
    ///
    /// async fn delete(user: AuthUser) -> Result<(), AuthRejection> {
    ///     user.require_scope(&Scope::parse("delete").unwrap())?;
    ///     Ok(())
    /// }
    /// ```
    pub fn require_scope(&self, required: &Scope) -> Result<(), AuthRejection> {
        self.access
            .require_scope(required)
            .map_err(|denied| self.deny(denied))
    }

    /// Refuses in the layer's words.
    pub(crate) fn deny(&self, denied: Denied) -> AuthRejection {
        AuthRejection::denied(denied, &self.render)
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> AuthUser<C> {
    fn new(access: &Access, render: Arc<dyn Render>) -> Result<Self, AuthRejection> {
        match access.claims::<C>() {
            Ok(claims) => Ok(Self {
                access: access.clone(),
                claims,
                render,
            }),
            Err(error) => Err(AuthRejection::denied(Denied::Claims(error), &render)),
        }
    }
}

impl<S, C> FromRequestParts<S> for AuthUser<C>
where
    S: Sync,
    C: DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        let (access, render) = required(&parts.extensions)?;
        Self::new(access, render)
    }
}

impl<S, C> OptionalFromRequestParts<S> for AuthUser<C>
where
    S: Sync,
    C: DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        match Standing::of(&parts.extensions) {
            Standing::Access(access, render) => Self::new(access, render).map(Some),
            Standing::Anonymous(_) => Ok(None),
            Standing::NoLayer => Err(MissingAccess::new().into()),
        }
    }
}

impl<C> Clone for AuthUser<C> {
    fn clone(&self) -> Self {
        Self {
            access: self.access.clone(),
            claims: Arc::clone(&self.claims),
            render: Arc::clone(&self.render),
        }
    }
}

impl<C> fmt::Debug for AuthUser<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthUser")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// The bare proof that a token was checked, with the rejections of [`AuthUser`]: for what a guard
/// wants to be given, such as [`Target::logout`](jwt_revoke_core::guard::Target::logout).
#[derive(Clone, Debug)]
pub struct Token(pub Access);

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        let (access, _) = required(&parts.extensions)?;
        Ok(Self(access.clone()))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Token {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        match Standing::of(&parts.extensions) {
            Standing::Access(access, _) => Ok(Some(Self(access.clone()))),
            Standing::Anonymous(_) => Ok(None),
            Standing::NoLayer => Err(MissingAccess::new().into()),
        }
    }
}

fn required(extensions: &Extensions) -> Result<(&Access, Arc<dyn Render>), AuthRejection> {
    match Standing::of(extensions) {
        Standing::Access(access, render) => Ok((access, render)),
        Standing::Anonymous(render) => Err(AuthRejection::denied(Denied::Missing, &render)),
        Standing::NoLayer => Err(MissingAccess::new().into()),
    }
}

/// Why there is no [`AuthUser`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthRejection {
    /// The layer is absent: 500.
    #[error(transparent)]
    MissingAccess(#[from] MissingAccess),
    /// The token does not do here: what the layer would have answered, in the layer's words.
    #[error("the token does not do here")]
    Denied {
        /// Why, for a log.
        #[source]
        reason: Box<Denied>,
        /// What the client is told.
        refusal: Refusal,
    },
}

impl AuthRejection {
    pub(crate) fn denied(reason: Denied, render: &Arc<dyn Render>) -> Self {
        let refusal = Refusal::of(&reason, &**render);
        let reason = Box::new(reason);
        Self::Denied { reason, refusal }
    }
}

impl IntoResponse for AuthRejection {
    fn into_response(self) -> Response {
        let refusal = match self {
            Self::MissingAccess(missing) => missing.refusal(),
            Self::Denied { refusal, .. } => refusal,
        };
        response(refusal).map(Body::from)
    }
}

impl IntoResponse for MissingAccess {
    fn into_response(self) -> Response {
        response(self.refusal()).map(Body::from)
    }
}
