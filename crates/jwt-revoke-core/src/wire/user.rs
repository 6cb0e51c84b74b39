//! The user of a request, as handlers see it.

use std::{fmt, ops::Deref, sync::Arc};

use serde::de::DeserializeOwned;

use crate::{
    Access, Denied, Guard, Report,
    guard::{NoClaims, RevokeError, Target},
    token::Scope,
    wire::{Refusal, Rejection, Renderer, Reply},
};

/// The user whose token was checked, and the application's claims in it: what `AuthUser` of each
/// adapter holds.
///
/// It dereferences to the [`Access`], so `user.subject()` and the others are at hand.
pub struct User<C = NoClaims> {
    /// The proof that the token was checked.
    pub access: Access,
    /// The claims, parsed once, however often they are extracted.
    pub claims: Arc<C>,
    render: Renderer,
}

impl<C: DeserializeOwned + Send + Sync + 'static> User<C> {
    pub(super) fn new(access: Access, render: Renderer) -> Result<Self, Rejection> {
        match access.claims::<C>() {
            Ok(claims) => Ok(Self {
                access,
                claims,
                render,
            }),
            Err(error) => Err(Rejection::denied(Denied::Claims(error), &render)),
        }
    }
}

impl<C> User<C> {
    /// Refuses, as the layer would, unless the token has every scope token of `required`.
    ///
    /// # Errors
    ///
    /// A response of 403 `insufficient_scope`.
    pub fn require_scope(&self, required: &Scope) -> Result<(), Rejection> {
        let decision = self.access.require_scope(required);
        decision.map_err(|denied| Rejection::denied(denied, &self.render))
    }

    /// `POST /logout` of services without sessions: ends the session of the token at hand, or revokes
    /// the token alone when it has no session.
    ///
    /// Says 204 only when the store has confirmed it: whoever was told that the session is over does
    /// not look again. Otherwise 503.
    pub async fn logout(&self, guard: &Guard) -> Reply {
        let target = Target::logout(&self.access).because("logout");
        match guard.revoke(target).await {
            Ok(_) => Reply::no_content(),
            Err(RevokeError::Store(error)) => {
                Refusal::of(&Denied::StoreUnavailable(error), &self.render).into()
            }
            // The token has nothing to revoke it by, which the verifier was told to allow.
            Err(error) => {
                tracing::error!(error = %Report(&error).quoted(), "a logout did not happen");
                Refusal::server_error().into()
            }
        }
    }
}

impl<C> Deref for User<C> {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}

impl<C> Clone for User<C> {
    fn clone(&self) -> Self {
        Self {
            access: self.access.clone(),
            claims: Arc::clone(&self.claims),
            render: self.render.clone(),
        }
    }
}

impl<C> fmt::Debug for User<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
