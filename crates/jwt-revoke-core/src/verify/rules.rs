//! What a verifier demands of claims whose shape is right.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use crate::{
    clock::{Clock, Timestamp},
    defaults,
    revocation::{ClaimName, Digest, Dimension, Shard},
    store::Exception,
    token::{ClaimValue, Jti, KeyId, Registered, Scope, SessionId, TokenKind},
    verify::{Verified, VerifyError, claims::RawClaims, json::Text, verified::DIMENSIONS},
};

/// Where a token's birth is read from: the instant that cutoffs are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BornAt {
    /// `iat`: for the tokens of another issuer.
    #[default]
    IssuedAt,
    /// The instant in the UUIDv7 `sid`, or in the UUIDv7 `jti` of a token without `sid`: for tokens
    /// of our own, whose sessions are dated by the store's clock. A token of which neither can be
    /// read is refused. Never use it for another issuer's tokens: their ids are not clocks.
    Ids,
}

/// A demand that an operator can lift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    Required,
    Lifted,
}

/// The configuration of a verifier, apart from its keys.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) issuer: Option<Arc<str>>,
    /// The digest of `issuer` itself.
    pub(super) issuer_digest: Digest,
    /// `None`: any.
    pub(super) audiences: Option<Vec<Box<str>>>,
    pub(super) kinds: SmallVec<[TokenKind; 2]>,
    pub(super) declared_type: Demand,
    pub(super) audience: Demand,
    pub(super) jti: Demand,
    pub(super) issued_at: Demand,
    pub(super) subject: Demand,
    /// Whether it must be in force. [`Demand::Lifted`] is for ending what a token stands for.
    pub(super) in_force: Demand,
    pub(super) leeway: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) born_at: BornAt,
    pub(super) dimensions: Vec<ClaimName>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a token turns out to be, once its claims are admitted.
pub(super) struct Admitted {
    pub(super) registered: Registered,
    pub(super) lifetime: Option<Duration>,
    pub(super) born_at: Timestamp,
    pub(super) shard: Shard,
    pub(super) dimensions: SmallVec<[Dimension; DIMENSIONS]>,
    pub(super) digests: SmallVec<[Digest; DIMENSIONS]>,
    pub(super) exception: Option<Exception>,
}

impl Rules {
    /// The kind of a token with this `typ`, and whether it said so itself.
    pub(super) fn kind(&self, typ: Option<&str>) -> Result<(TokenKind, Declared), VerifyError> {
        let Some(typ) = typ.filter(|typ| !is_plain_jwt(typ)) else {
            return match self.declared_type {
                Demand::Required => Err(VerifyError::Untyped),
                Demand::Lifted if !self.kinds.contains(&TokenKind::Access) => {
                    Err(VerifyError::OtherType)
                }
                Demand::Lifted => Ok((TokenKind::Access, Declared::No)),
            };
        };
        let mut kinds = self.kinds.iter().copied();
        kinds
            .find(|kind| kind.is_declared_by(typ))
            .map(|kind| (kind, Declared::Yes))
            .ok_or(VerifyError::OtherType)
    }

    /// Judges the claims of a token whose signature holds, and computes its digests. `key` is the
    /// id of its key, beside the digest under this verifier's own issuer. `kept` is as in
    /// [`slack`](Self::slack).
    pub(super) fn admit(
        &self,
        claims: &RawClaims<'_>,
        declared: Declared,
        key: (&KeyId, Digest),
        kept: Option<Duration>,
    ) -> Result<Admitted, VerifyError> {
        if declared == Declared::No && claims.tells_other_type {
            return Err(VerifyError::OtherType);
        }
        self.check_issuer(claims.iss.as_deref())?;
        self.check_audience(claims.aud.as_deref())?;
        if claims.sub.is_none() && self.subject == Demand::Required {
            return Err(VerifyError::MissingClaim("sub"));
        }
        if claims.jti.is_none() && self.jti == Demand::Required {
            return Err(VerifyError::MissingClaim("jti"));
        }
        if claims.iat.is_none() && self.issued_at == Demand::Required {
            return Err(VerifyError::MissingClaim("iat"));
        }
        let now = self.clock.now();
        let registered = self.registered(claims)?;
        // Both rounded up: an issuer that dates to a fraction of a second gives no token a second more.
        let lifetime = claims
            .iat
            .map(|iat| registered.expires_at.saturating_since(iat.second_after()));
        let slack = self.slack(&registered, lifetime, kept, now);
        self.check_dates(&registered, slack, now)?;
        let born_at = self.birth(&registered)?;
        self.check_birth(born_at, slack, now)?;
        let (mut dimensions, mut digests) = self.digests(&registered, claims, key)?;
        let exception = self.exception(&registered, &mut dimensions, &mut digests);
        let issuer = registered.issuer.as_deref().unwrap_or_default();
        let shard = match (&registered.subject, &registered.jti) {
            (Some(subject), _) => Shard::of_subject(issuer, subject),
            (None, Some(jti)) => Shard::of_jti(issuer, jti),
            (None, None) => Shard::of_issuer(issuer),
        };
        Ok(Admitted {
            registered,
            lifetime,
            born_at,
            shard,
            dimensions,
            digests,
            exception,
        })
    }

    /// Repeats all checks that depend on the time.
    pub(super) fn still_admit(
        &self,
        verified: &Verified,
        kept: Option<Duration>,
    ) -> Result<(), VerifyError> {
        let now = self.clock.now();
        let slack = self.slack(&verified.registered, verified.lifetime, kept, now);
        self.check_dates(&verified.registered, slack, now)?;
        self.check_birth(verified.born_at, slack, now)
    }

    /// The instant at which a token that was admitted lapses.
    pub(super) fn lapses_at(&self, verified: &Verified, kept: Option<Duration>) -> Timestamp {
        let now = self.clock.now();
        let slack = self.slack(&verified.registered, verified.lifetime, kept, now);
        let slack = slack.unwrap_or(self.leeway);
        verified.registered.expires_at.saturating_add(slack)
    }

    /// The slack on the dates of a token, `None` for one that lives too long: its denylist entry could
    /// lapse before it.
    ///
    /// `kept` is how long after its `iat` a token of our own is sure to be covered, because the store
    /// has promised to keep entries that long. One that lives longer than this verifier's own cap was
    /// issued under other settings; it is granted as much slack as that promise leaves, at both ends.
    fn slack(
        &self,
        claims: &Registered,
        lifetime: Option<Duration>,
        kept: Option<Duration>,
        now: Timestamp,
    ) -> Option<Duration> {
        let lifetime = lifetime.unwrap_or_else(|| {
            let latest = now.saturating_add(self.leeway + defaults::CLOCK_SKEW);
            claims.expires_at.saturating_since(latest)
        });
        if lifetime <= second_up(self.max_lifetime) {
            return Some(self.leeway);
        }
        let left = kept?.checked_sub(lifetime)?;
        Some(self.leeway.min(left / 2))
    }

    /// Owns the claims, and rounds their dates.
    fn registered(&self, claims: &RawClaims<'_>) -> Result<Registered, VerifyError> {
        let expires_at = match claims.exp {
            Some(exp) => exp.second_after(),
            None if self.in_force == Demand::Lifted => Timestamp::EPOCH,
            None => return Err(VerifyError::MissingClaim("exp")),
        };
        let scope = match claims.scope.as_deref().map(Scope::parse) {
            None => Scope::default(),
            Some(Some(scope)) => scope,
            // No token is spared because it says nonsense of what it may be used for.
            Some(None) if self.in_force == Demand::Lifted => Scope::default(),
            Some(None) => return Err(VerifyError::InvalidClaim("scope")),
        };
        let audience = claims.aud.iter().flatten();
        Ok(Registered {
            issuer: claims.iss.as_deref().map(Box::from),
            subject: claims.sub.as_deref().map(Into::into),
            audience: audience.map(|text| Box::from(&*text.0)).collect(),
            expires_at,
            not_before: claims.nbf.map(|nbf| nbf.millisecond_after()),
            issued_at: claims.iat.map(|iat| iat.millisecond_before()),
            jti: claims.jti.as_deref().map(Jti::from),
            session: claims.sid.as_deref().map(SessionId::from),
            client_id: claims.client_id.as_deref().map(Into::into),
            authorized_party: claims.azp.as_deref().map(Into::into),
            scope,
        })
    }

    fn check_issuer(&self, iss: Option<&str>) -> Result<(), VerifyError> {
        match (&self.issuer, iss) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(VerifyError::MissingClaim("iss")),
            (Some(own), Some(iss)) if **own == *iss => Ok(()),
            (Some(_), Some(_)) => Err(VerifyError::OtherIssuer),
        }
    }

    fn check_audience(&self, aud: Option<&[Text<'_>]>) -> Result<(), VerifyError> {
        match (&self.audiences, aud) {
            (_, None) if self.audience == Demand::Lifted => Ok(()),
            (_, None) => Err(VerifyError::MissingClaim("aud")),
            (None, Some(_)) => Ok(()),
            (Some(own), Some(aud)) => {
                let ours = |text: &Text<'_>| own.iter().any(|own| **own == *text.0);
                if aud.iter().any(ours) {
                    Ok(())
                } else {
                    Err(VerifyError::OtherAudience)
                }
            }
        }
    }

    /// RFC 7519 §4.1.4 to §4.1.6, and the largest lifetime, which bounds the denylist. `slack` is as in
    /// [`slack`](Self::slack).
    fn check_dates(
        &self,
        claims: &Registered,
        slack: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        if self.in_force == Demand::Lifted {
            return Ok(());
        }
        let leeway = slack.unwrap_or(self.leeway);
        if now >= claims.expires_at.saturating_add(leeway) {
            return Err(VerifyError::Expired);
        }
        // Hosts differ by a little, and a token must work the moment it is issued. The margin in
        // every horizon is far larger.
        let ahead = now.saturating_add(leeway + defaults::CLOCK_SKEW);
        let lies_ahead = |date: Option<Timestamp>| date.is_some_and(|date| date > ahead);
        if lies_ahead(claims.not_before) {
            return Err(VerifyError::NotYetValid);
        }
        if lies_ahead(claims.issued_at) {
            return Err(VerifyError::IssuedInFuture);
        }
        slack.map(drop).ok_or(VerifyError::LivesTooLong)
    }

    fn birth(&self, claims: &Registered) -> Result<Timestamp, VerifyError> {
        match self.born_at {
            // Without `iat` the token is as old as can be: every cutoff covers it.
            BornAt::IssuedAt => Ok(claims.issued_at.unwrap_or(Timestamp::EPOCH)),
            BornAt::Ids => {
                let birth = match (&claims.session, &claims.jti) {
                    (Some(session), _) => session.instant(),
                    (None, Some(jti)) => jti.instant(),
                    (None, None) => None,
                };
                match (birth, self.in_force) {
                    (Some(birth), _) => Ok(birth),
                    (None, Demand::Lifted) => Ok(Timestamp::EPOCH),
                    (None, Demand::Required) => Err(VerifyError::UnknownBirth),
                }
            }
        }
    }

    /// `iat` is judged with the other dates.
    fn check_birth(
        &self,
        born_at: Timestamp,
        slack: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        if self.born_at != BornAt::Ids || self.in_force == Demand::Lifted {
            return Ok(());
        }
        let ahead = slack.unwrap_or(self.leeway) + defaults::CLOCK_SKEW;
        if born_at > now.saturating_add(ahead) {
            return Err(VerifyError::BornInFuture);
        }
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "two lists that run in parallel")]
    fn digests(
        &self,
        registered: &Registered,
        claims: &RawClaims<'_>,
        (key, key_digest): (&KeyId, Digest),
    ) -> Result<
        (
            SmallVec<[Dimension; DIMENSIONS]>,
            SmallVec<[Digest; DIMENSIONS]>,
        ),
        VerifyError,
    > {
        let mut dimensions = SmallVec::new();
        let mut digests = SmallVec::new();
        let issuer = registered.issuer.as_deref().unwrap_or_default();
        let mut push = |dimension: Dimension, digest: Digest| {
            dimensions.push(dimension);
            digests.push(digest);
        };
        let mut add = |dimension: Dimension, value: &str| {
            let digest = Digest::of(&dimension, issuer, value.as_bytes());
            push(dimension, digest);
        };
        if let Some(jti) = &registered.jti {
            add(Dimension::Jti, jti.as_str());
        }
        if let Some(session) = &registered.session {
            add(Dimension::Session, session.as_str());
        }
        if let Some(subject) = &registered.subject {
            add(Dimension::Subject, subject.as_str());
        }
        if let Some(client) = &registered.client_id {
            add(Dimension::Client, client.as_str());
        }
        if let Some(party) = &registered.authorized_party
            && registered.client_id.as_ref() != Some(party)
        {
            add(Dimension::Client, party.as_str());
        }
        if self.issuer.as_deref() == Some(issuer) {
            push(Dimension::Issuer, self.issuer_digest);
            push(Dimension::Key, key_digest);
        } else {
            add(Dimension::Issuer, issuer);
            add(Dimension::Key, key.as_str());
        }
        for (index, raw) in &claims.dimensions {
            let Some(name) = self.dimensions.get(*index) else {
                continue;
            };
            let values = ClaimValue::all_in(raw)
                .ok_or_else(|| VerifyError::InvalidDimension(name.clone()))?;
            let dimension = Dimension::Claim(name.clone());
            for text in values.iter().flat_map(ClaimValue::findable) {
                digests.push(Digest::of(&dimension, issuer, text.as_bytes()));
                dimensions.push(dimension.clone());
            }
        }
        Ok((dimensions, digests))
    }

    /// Adds what tells whether the token outlives the end of its user's other sessions: only sessions of
    /// our own end so.
    fn exception(
        &self,
        registered: &Registered,
        dimensions: &mut SmallVec<[Dimension; DIMENSIONS]>,
        digests: &mut SmallVec<[Digest; DIMENSIONS]>,
    ) -> Option<Exception> {
        let (session, subject) = (registered.session.as_ref()?, registered.subject.as_ref()?);
        if self.born_at != BornAt::Ids {
            return None;
        }
        let issuer = registered.issuer.as_deref().unwrap_or_default();
        let of_session = |own: &Dimension| *own == Dimension::Session;
        let own = dimensions.iter().position(of_session)?;
        let mut add = |dimension: Dimension, value: &str| {
            digests.push(Digest::of(&dimension, issuer, value.as_bytes()));
            dimensions.push(dimension);
            digests.len() - 1
        };
        Some(Exception {
            session: own,
            others: add(Dimension::OtherSessions, subject.as_str()),
            kept: add(Dimension::KeptSession, session.as_str()),
        })
    }
}

/// Whether a token declared its type itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    Yes,
    No,
}

/// `JWT`, in any case and with or without `application/`: it says nothing about the kind
/// (RFC 7519 §5.1).
fn is_plain_jwt(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("application/jwt")
}

/// Up to a whole second: the dates of tokens are whole seconds, each rounded separately.
fn second_up(length: Duration) -> Duration {
    let whole = Duration::from_secs(length.as_secs());
    if whole < length {
        whole.saturating_add(Duration::from_secs(1))
    } else {
        whole
    }
}
