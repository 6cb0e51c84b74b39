//! The proof that a token was checked.

use std::{
    any::{Any, TypeId},
    fmt,
    sync::{Arc, LazyLock, OnceLock, Weak},
};

use serde::de::DeserializeOwned;

use super::Shared;
use crate::{
    clock::Timestamp,
    guard::{Consistency, Denied, Ending, Guard, Outage},
    revocation::{Cutoffs, Dimension},
    store::StoreError,
    token::{ClientId, Jti, Registered, Scope, SessionId, Subject},
    verify::Verified,
    wire::Renderer,
};

/// A token that was checked: genuine, and not revoked when it was looked at.
///
/// Only [`Guard::check`](crate::Guard::check) makes one, so to hold an `Access` is to have done the
/// check. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    token: Arc<Token>,
    standing: Standing,
    consistency: Consistency,
    outage: Outage,
    /// Of the layer that let the request through.
    render: Option<Renderer>,
}

/// What one token is to one guard, whenever it comes: no proof of anything but its signature.
#[repr(C)]
pub(super) struct Token {
    pub(super) verified: Verified,
    guard: Weak<Shared>,
    /// The application's claims, parsed at the first use of the first type asked for.
    claims: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Token {
    pub(super) fn new(verified: Verified, guard: &Arc<Shared>) -> Self {
        Self {
            verified,
            guard: Arc::downgrade(guard),
            claims: OnceLock::new(),
        }
    }

    /// What the store's answer says of the token. Where it is no answer and nothing that is known all
    /// the same covers the token, why; where a cutoff covers it, the error is in which dimension.
    pub(super) fn judged(
        &self,
        found: Result<Cutoffs, StoreError>,
    ) -> Result<Option<StoreError>, Option<Dimension>> {
        let (known, unknown) = match found {
            Ok(cutoffs) => (cutoffs, None),
            Err(error) => (error.known(), Some(error)),
        };
        match known.covering(self.verified.born_at()) {
            Some(index) => Err(self.verified.dimension(index).cloned()),
            None => Ok(unknown),
        }
    }
}

/// What is known of an admitted token's revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// The store was asked, and no cutoff covers the token.
    Clear,
    /// The store did not answer, and the policy was [`Outage::Allow`](crate::guard::Outage::Allow).
    Unknown,
}

impl Access {
    pub(super) fn new(token: Arc<Token>, standing: Standing, guard: &Guard) -> Self {
        Self {
            token,
            standing,
            consistency: guard.consistency,
            outage: guard.outage,
            render: None,
        }
    }

    /// The same, marked by a layer that lets its request through.
    pub(crate) fn passed(mut self, render: &Renderer) -> Self {
        self.render = Some(render.clone());
        self
    }

    /// What renders the refusals of the layer that let the request through; `None` where a guard was asked
    /// without one.
    pub(crate) fn render(&self) -> Option<&Renderer> {
        self.render.as_ref()
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    /// The handle that this came from, while any handle of its guard is left.
    pub(super) fn guard(&self) -> Option<Guard> {
        Some(Guard {
            shared: self.token.guard.upgrade()?,
            consistency: self.consistency,
            outage: self.outage,
        })
    }

    pub(super) fn is_of(&self, guard: &Arc<Shared>) -> bool {
        std::ptr::eq(self.token.guard.as_ptr(), Arc::as_ptr(guard))
    }

    /// The token's claims and origin.
    pub fn verified(&self) -> &Verified {
        &self.token.verified
    }

    /// The claims this crate gives a meaning to.
    pub fn registered(&self) -> &Registered {
        self.token.verified.registered()
    }

    /// Who the token is about. `None` only where the verifier allows tokens without `sub`.
    pub fn subject(&self) -> Option<&Subject> {
        self.registered().subject.as_ref()
    }

    /// The session the token belongs to.
    pub fn session(&self) -> Option<&SessionId> {
        self.registered().session.as_ref()
    }

    /// The token's own identifier. `None` only where the verifier allows tokens without `jti`.
    pub fn jti(&self) -> Option<&Jti> {
        self.registered().jti.as_ref()
    }

    /// The OAuth client the token was issued to.
    pub fn client(&self) -> Option<&ClientId> {
        self.registered().client_id.as_ref()
    }

    /// What the token may be used for.
    pub fn scope(&self) -> &Scope {
        &self.registered().scope
    }

    /// When the token lapses.
    pub fn expires_at(&self) -> Timestamp {
        self.registered().expires_at
    }

    /// What is known of the token's revocation.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// How old the knowledge may have been by which the token was judged.
    pub fn consistency(&self) -> Consistency {
        self.consistency
    }

    /// What happens to an open connection of the token while the store does not answer: the policy of the
    /// handle that admitted it.
    pub fn outage(&self) -> Outage {
        self.outage
    }

    /// Refuses unless the token has every scope token of `required`.
    ///
    /// # Errors
    ///
    /// [`Denied::InsufficientScope`], which is 403 with the scope in the challenge (RFC 6750 §3.1).
    pub fn require_scope(&self, required: &Scope) -> Result<(), Denied> {
        if self.scope().covers(required) {
            Ok(())
        } else {
            Err(Denied::InsufficientScope {
                required: required.clone(),
            })
        }
    }

    /// Waits until the token no longer gives access: for connections that stay open, such as WebSockets
    /// and event streams, which no later request checks.
    ///
    /// The policy is that of the handle that admitted the token: its consistency says who is asked, its
    /// outage policy what happens when nobody answers. See [`Ending`].
    ///
    /// ```
    /// # use futures::{Stream, StreamExt as _};
    /// # use jwt_revoke_core::Access;
    /// // Server-sent events that stop when the user logs out.
    /// fn while_valid<T>(events: impl Stream<Item = T>, access: &Access) -> impl Stream<Item = T> {
    ///     events.take_until(access.ended())
    /// }
    /// ```
    pub fn ended(&self) -> Ending {
        Ending::of(self.clone())
    }

    /// All claims, read as the application's own type. Parsed once a token: clones of this access, and
    /// of every other that the guard makes of the same token while it has it cached, share the result
    /// for the first type asked for. So keep nothing of a single request in it.
    ///
    /// # Errors
    ///
    /// [`ClaimsError`] when the claims do not have that shape.
    ///
    /// ```
    /// # use jwt_revoke_core::guard::{Access, ClaimsError};
    /// #[derive(serde::Deserialize)]
    /// struct Mine {
    ///     tenant: String,
    /// }
    ///
    /// fn tenant_of(access: &Access) -> Result<String, ClaimsError> {
    ///     Ok(access.claims::<Mine>()?.tenant.clone())
    /// }
    /// ```
    pub fn claims<C: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> Result<Arc<C>, ClaimsError> {
        if TypeId::of::<C>() == TypeId::of::<NoClaims>() {
            let none = Arc::clone(&*NO_CLAIMS) as Arc<dyn Any + Send + Sync>;
            if let Ok(none) = none.downcast::<C>() {
                return Ok(none);
            }
        }
        let cached = self.token.claims.get().cloned();
        if let Some(claims) = cached.and_then(|claims| claims.downcast::<C>().ok()) {
            return Ok(claims);
        }
        let claims: C = serde_json::from_slice(self.token.verified.payload())
            .map_err(|error| ClaimsError::new(&error))?;
        let claims = Arc::new(claims);
        // Another type may stand there already; then this one is parsed anew at each call.
        let _ = self
            .token
            .claims
            .set(Arc::clone(&claims) as Arc<dyn Any + Send + Sync>);
        Ok(claims)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("verified", &self.token.verified)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

/// For an application without claims of its own: reads nothing, so it costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[non_exhaustive]
pub struct NoClaims {}

/// The claims of a genuine token do not have the shape that the application asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} at column {column} of the claims")]
pub struct ClaimsError {
    place: &'static str,
    column: usize,
}

impl ClaimsError {
    /// Keeps the kind and place of the error, not its text: that quotes values of the token.
    fn new(error: &serde_json::Error) -> Self {
        let place = match error.classify() {
            serde_json::error::Category::Data => "a claim is missing or has another type",
            _ => "malformed JSON",
        };
        Self {
            place,
            column: error.column(),
        }
    }
}

static NO_CLAIMS: LazyLock<Arc<NoClaims>> = LazyLock::new(Arc::default);
