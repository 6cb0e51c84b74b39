//! Looking at a token without changing anything.

use crate::{
    guard::{Denied, Outage},
    session::{Outcome, Sessions, refresh::RefreshedToken},
    store::StoreError,
    token::{Registered, TokenKind},
    verify::{Verified, VerifyError},
};

/// What [`Sessions::inspect`] says of a token that is good at this moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inspected {
    /// Which kind of token it is.
    pub kind: TokenKind,
    /// Its claims.
    pub claims: Registered,
}

impl Sessions {
    /// What a token says if it is good at this moment: an access token that the guard would let
    /// through, or a refresh token that would be exchanged. `None` for any other: forged, lapsed,
    /// revoked, spent, of a session that has ended, of another issuer.
    ///
    /// Nothing changes, whatever the token: to inspect a spent one is no reuse. The guard's outage
    /// policy does not count here.
    ///
    /// # Errors
    ///
    /// When the store does not answer: nobody can tell then.
    pub async fn inspect(&self, token: &str) -> Result<Option<Inspected>, StoreError> {
        match self.0.verified_refresh(token).await? {
            Ok(verified) => self.inspect_refresh(&verified).await,
            Err(VerifyError::OtherType | VerifyError::Untyped) => self.inspect_access(token).await,
            Err(_) => Ok(None),
        }
    }

    async fn inspect_access(&self, token: &str) -> Result<Option<Inspected>, StoreError> {
        let strict = self.0.guard.with_outage(Outage::Deny);
        let access = match strict.check(token).await {
            Ok(access) => access,
            Err(Denied::StoreUnavailable(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let ours = access.registered().issuer.as_deref() == Some(self.0.issuer.name());
        Ok(ours.then(|| Inspected::of(access.verified())))
    }

    async fn inspect_refresh(&self, verified: &Verified) -> Result<Option<Inspected>, StoreError> {
        let inner = &*self.0;
        let Ok(token) = RefreshedToken::read(inner, verified) else {
            return Ok(None);
        };
        let (attempt, proposal) = inner.attempt(inner.guard.verifier().clock().now())?;
        let outcome = inner
            .look(&token.rotating(inner, attempt, &proposal))
            .await?;
        // A token that would only get its successor again is spent.
        let unspent = matches!(outcome, Outcome::Rotated(_) | Outcome::Recovered(_));
        Ok(unspent.then(|| Inspected::of(verified)))
    }
}

impl Inspected {
    fn of(verified: &Verified) -> Self {
        Self {
            kind: verified.kind(),
            claims: verified.registered().clone(),
        }
    }
}
