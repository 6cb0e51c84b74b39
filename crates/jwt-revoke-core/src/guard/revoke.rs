//! Taking tokens back.

use std::time::Duration;

use futures_timer::Delay;

use super::target::What;
use crate::{
    Quoted,
    clock::Timestamp,
    defaults,
    finish::finished,
    guard::{Access, Guard, Target},
    revocation::{ClaimName, Dimension, Horizon, Placement, Shard},
    store::{Reach, Revocation, StoreError},
    token::{SessionId, Subject},
    verify::BornAt,
};

/// A revocation that did not happen, or may not have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The store did not confirm it. Say so to whoever asked, and try again: repeating does no harm.
    #[error("the revocation was not confirmed")]
    Store(#[from] StoreError),
    /// The token has neither session nor identifier by which it could be revoked.
    #[error("the token has no {0}")]
    NoValue(Dimension),
    /// The verifier does not name this claim as a dimension, so no token would be covered.
    #[error("the claim {0:?} is not a revocation dimension of this guard's verifier")]
    UnknownClaim(Box<str>),
    /// The verifier accepts any issuer, and the target does not say which one is meant.
    #[error("the target names no issuer, and the verifier accepts any")]
    NoIssuer,
    /// The target names another issuer than the verifier's, so no token would be covered.
    #[error(
        "the guard accepts no tokens of the issuer {0:?}; name its own, or leave `issued_by` out"
    )]
    UnknownIssuer(Box<str>),
    /// A value is empty.
    #[error("the value to revoke is empty")]
    EmptyValue,
    /// A value is an infinity or a NaN, which no token can have.
    #[error("the value to revoke is not a number: no token can have it in {0:?}")]
    NotANumber(Box<str>),
}

impl Guard {
    /// Takes back what `target` names, and returns the store's instant from which on every strict
    /// check, in any process, refuses it.
    ///
    /// # Errors
    ///
    /// [`RevokeError::Store`] when the store did not confirm: the tokens may still work.
    pub async fn revoke(&self, target: Target) -> Result<Timestamp, RevokeError> {
        self.revoke_all(std::slice::from_ref(&target)).await
    }

    /// The same for several targets, in as few commands as the store can. When it fails, some of
    /// them may be in force and others not; repeating does no harm.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke). A target that is wrong in itself fails before anything is
    /// written.
    pub async fn revoke_all(&self, targets: &[Target]) -> Result<Timestamp, RevokeError> {
        let revocations = targets
            .iter()
            .map(|target| self.revocation(target))
            .collect::<Result<Vec<_>, _>>()?;
        let guard = self.clone();
        finished(async move { guard.write(&revocations).await.map_err(Into::into) }).await
    }

    async fn write(&self, revocations: &[Revocation]) -> Result<Timestamp, StoreError> {
        self.require().await?;
        let at = self.heard(self.store().revoke(revocations).await)?.at;
        for revocation in revocations {
            let audit = &revocation.audit;
            tracing::info!(
                dimension = %audit.dimension,
                digest = %revocation.digest,
                cause = audit.cause.as_deref().map(|cause| display(Quoted(cause))),
                actor = audit.actor.as_deref().map(|actor| display(Quoted(actor))),
                "revoked"
            );
        }
        Ok(at)
    }

    /// Takes back every token of the verifier's issuer that was born before this call returns, whatever the store
    /// knows of it: everyone logs in again. Call it once, in one process, after the store was restored from a
    /// backup or lost what was revoked, and before requests are served. What was revoked since the backup
    /// is refused again then, in every process.
    ///
    /// The cutoff lies [`MAX_CUTOFF_AHEAD`](defaults::MAX_CUTOFF_AHEAD) ahead, because the clock of a restored
    /// store may be behind the one that dated the tokens. It is waited for, so that logins work when this
    /// returns, for about that long at most. Returns the instant up to which tokens are refused.
    ///
    /// A leaked key and a client whose ban must outlast new tokens are not in a cutoff: revoke those again.
    /// `cause` is for the audit stream and the log.
    ///
    /// # Errors
    ///
    /// [`RevokeError::Store`] when the store did not confirm: call it again. [`RevokeError::NoIssuer`] for a
    /// verifier that accepts any issuer: revoke [`Target::issuer`] of each.
    ///
    /// ```
    /// # use jwt_revoke_core::{Guard, Issuer, session::Grant, store::EmbeddedStore};
    /// # use jwt_revoke_core::verify::{Algorithm, SigningKey};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::new(SigningKey::generate(Algorithm::EdDSA)?, "https://auth.example.com", "api");
    /// # let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    /// let before = issuer.issue(&guard, "alice", &Grant::new()).await?;
    /// guard.revoke_everything("restored the backup of Monday").await?;
    /// assert!(guard.check(before.token()).await.is_err());
    /// let after = issuer.issue(&guard, "alice", &Grant::new()).await?;
    /// assert!(guard.check(after.token()).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "restore")]
    pub async fn revoke_everything(
        &self,
        cause: impl Into<Box<str>>,
    ) -> Result<Timestamp, RevokeError> {
        let ahead = defaults::MAX_CUTOFF_AHEAD;
        let mut revocation = self.revocation(&Target::issuer().because(cause))?;
        revocation.reach = Reach::Now { ahead };
        self.require().await?;
        let at = self
            .heard(self.store().revoke(std::slice::from_ref(&revocation)).await)?
            .at;
        let cutoff = at.saturating_add(ahead);
        tracing::warn!(
            digest = %revocation.digest, %cutoff,
            cause = revocation.audit.cause.as_deref(),
            "revoked every token of the issuer"
        );
        // Bounded, because the clock may stand still, or the cutoff lie behind a log that is far ahead.
        let mut left = ahead + defaults::CLOCK_RESERVATION;
        loop {
            let now = self.heard(self.store().earliest_now().await)?;
            let wait = cutoff
                .saturating_since(now)
                .saturating_add(MILLISECOND)
                .min(left);
            if now > cutoff || left.is_zero() {
                return Ok(cutoff);
            }
            Delay::new(wait).await;
            left = left.saturating_sub(wait);
        }
    }

    fn revocation(&self, target: &Target) -> Result<Revocation, RevokeError> {
        let revocation = match &target.what {
            What::Token(access) => self.jti_of(access)?,
            What::Logout(access) => match access.session() {
                Some(session) => self.session_of(access, session),
                None => self.jti_of(access)?,
            },
            What::Issuer => {
                let issuer = self.issuer_of(target)?;
                let reach = self.reach(&Dimension::Issuer, target);
                Revocation::new(Dimension::Issuer, issuer, issuer, Placement::Wide, reach)
            }
            What::Value(dimension, value) => self.value(target, dimension.clone(), value)?,
            What::Claim(name, value) => {
                if !value.is_possible() {
                    return Err(RevokeError::NotANumber(name.clone()));
                }
                let name = self.claim_named(name)?;
                self.value(target, Dimension::Claim(name), &value.canonical())?
            }
        };
        Ok(revocation.with_audit(target.cause.clone(), target.actor.clone()))
    }

    fn value(
        &self,
        target: &Target,
        dimension: Dimension,
        value: &str,
    ) -> Result<Revocation, RevokeError> {
        if value.is_empty() {
            return Err(RevokeError::EmptyValue);
        }
        let issuer = self.issuer_of(target)?;
        let one = |subject: &Subject| Placement::One(Shard::of_subject(issuer, subject));
        let placement = match &dimension {
            Dimension::Subject => one(&value.into()),
            // Where a token without a subject lies depends on its `jti`; to know the subject is to
            // know that it is not such a token.
            Dimension::Jti => target.subject.as_ref().map_or(Placement::Wide, one),
            Dimension::Session if self.verifier().requires_subject() => {
                target.subject.as_ref().map_or(Placement::Wide, one)
            }
            _ => Placement::Wide,
        };
        let reach = self.reach(&dimension, target);
        let revocation = Revocation::new(dimension, issuer, value, placement, reach);
        Ok(self.lasting(self.dated(revocation)))
    }

    fn jti_of(&self, access: &Access) -> Result<Revocation, RevokeError> {
        let jti = access.jti().ok_or(RevokeError::NoValue(Dimension::Jti))?;
        Ok(of_access(access, Dimension::Jti, jti.as_str()))
    }

    fn session_of(&self, access: &Access, session: &SessionId) -> Revocation {
        let mut revocation = of_access(access, Dimension::Session, session.as_str());
        // Tokens without a subject lie each in the shard of its `jti`, and one session may have
        // tokens of both kinds.
        if access.subject().is_none() || !self.verifier().requires_subject() {
            revocation.placement = Placement::Wide;
        }
        self.lasting(self.dated(revocation))
    }

    /// A session of our own that a clock dated ahead is over so much later.
    fn dated(&self, revocation: Revocation) -> Revocation {
        let session = revocation.audit.dimension == Dimension::Session;
        let own = session && self.verifier().born_at() == BornAt::Ids;
        let opened_at = own.then(|| SessionId::from(&*revocation.audit.value).instant());
        match opened_at.flatten() {
            Some(opened_at) => revocation.counting_from(opened_at),
            None => revocation,
        }
    }

    /// Another issuer does not know that its session was ended here, and goes on issuing tokens.
    fn lasting(&self, mut revocation: Revocation) -> Revocation {
        let session = revocation.audit.dimension == Dimension::Session;
        if session && self.verifier().born_at() != BornAt::Ids {
            revocation.horizon = Horizon::Lasting;
        }
        revocation
    }

    fn issuer_of<'a>(&'a self, target: &'a Target) -> Result<&'a str, RevokeError> {
        match (target.issuer.as_deref(), self.verifier().issuer()) {
            (Some(named), Some(own)) if named != own => {
                Err(RevokeError::UnknownIssuer(named.into()))
            }
            (named, own) => named.or(own).ok_or(RevokeError::NoIssuer),
        }
    }

    fn claim_named(&self, name: &str) -> Result<ClaimName, RevokeError> {
        let named = self
            .verifier()
            .claim_dimensions()
            .iter()
            .find(|known| known.as_str() == name);
        named
            .cloned()
            .ok_or_else(|| RevokeError::UnknownClaim(name.into()))
    }

    fn reach(&self, dimension: &Dimension, target: &Target) -> Reach {
        match (dimension, target.instant) {
            (Dimension::Jti | Dimension::Session | Dimension::Key, _) => Reach::Forever,
            (_, Some(instant)) => Reach::At(instant),
            // Our own tokens are dated by the store's clock, the tokens of others by theirs, which
            // may be ahead: a login inside the skew is refused, which is the safe side.
            (_, None) => Reach::Now {
                ahead: match self.verifier().born_at() {
                    BornAt::Ids => Duration::ZERO,
                    _ => defaults::FOREIGN_SKEW,
                },
            },
        }
    }
}

/// The entry for a value of a token at hand, in the token's own shard.
fn of_access(access: &Access, dimension: Dimension, value: &str) -> Revocation {
    let issuer = access.registered().issuer.as_deref().unwrap_or_default();
    let placement = Placement::One(access.verified().shard());
    Revocation::new(dimension, issuer, value, placement, Reach::Forever)
}

const MILLISECOND: Duration = Duration::from_millis(1);
