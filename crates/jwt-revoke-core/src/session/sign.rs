//! Signing the tokens of a session.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    clock::Timestamp,
    defaults,
    session::{IssueError, Issuer},
    token::{ClientId, Jti, Scope, SessionId, Subject, TokenKind},
    verify::{SignError, SigningKey, Verifier},
};

/// The part of a session's tokens that is the same in all generations.
pub(super) struct Content<'a> {
    pub(super) subject: &'a Subject,
    pub(super) client: &'a ClientId,
    pub(super) scope: &'a Scope,
    pub(super) own: &'a Map<String, Value>,
}

/// An access token to be signed (RFC 9068 §2.2).
pub(super) struct AccessToken<'a> {
    pub(super) subject: &'a Subject,
    pub(super) session: &'a SessionId,
    pub(super) jti: &'a Jti,
    pub(super) client: &'a ClientId,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) scope: &'a Scope,
    pub(super) own: &'a Map<String, Value>,
}

/// A refresh token to be signed. Its audience is the issuer, so that no resource server takes one.
pub(super) struct RefreshToken<'a> {
    pub(super) subject: &'a Subject,
    pub(super) session: &'a SessionId,
    pub(super) generation: u64,
    pub(super) jti: &'a Jti,
    pub(super) client: &'a ClientId,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) scope: &'a Scope,
    pub(super) own: &'a Map<String, Value>,
}

impl Issuer {
    /// Fails unless every pair of a session with this content can be handed out, whatever its
    /// generation: the key signs, `verifier` can read the tokens, and none takes more than `limit` bytes.
    /// It is asked before a session is opened or a token spent: afterwards it is too late to say no.
    pub(super) fn check(
        &self,
        content: &Content<'_>,
        verifier: &Verifier,
        limit: usize,
    ) -> Result<(), IssueError> {
        let (session, jti) = (SessionId::from(UUID), Jti::from(UUID));
        let latest = Timestamp::from_seconds(LATEST);
        let access = serde_json::to_vec(&self.access_claims(&AccessToken {
            subject: content.subject,
            session: &session,
            jti: &jti,
            client: content.client,
            issued_at: latest,
            expires_at: latest,
            scope: content.scope,
            own: content.own,
        }));
        let refresh = serde_json::to_vec(&self.refresh_claims(&RefreshToken {
            subject: content.subject,
            session: &session,
            generation: MAX_GENERATION,
            jti: &jti,
            client: content.client,
            issued_at: latest,
            expires_at: latest,
            scope: content.scope,
            own: content.own,
        }));
        let overheads = self.overheads()?;
        for (claims, overhead) in [access, refresh].into_iter().zip(overheads) {
            let claims = claims.map_err(SignError::Serialize)?;
            let size = overhead + encoded(claims.len());
            if size > limit {
                return Err(IssueError::TooLarge { size, limit });
            }
            verifier.reads(&claims).map_err(IssueError::Unreadable)?;
        }
        Ok(())
    }

    pub(super) fn sign_access(&self, token: &AccessToken<'_>) -> Result<Box<str>, IssueError> {
        self.sign(TokenKind::Access, &self.access_claims(token))
    }

    pub(super) fn sign_refresh(&self, token: &RefreshToken<'_>) -> Result<Box<str>, IssueError> {
        self.sign(TokenKind::Refresh, &self.refresh_claims(token))
    }

    fn access_claims<'a>(&'a self, token: &AccessToken<'a>) -> AccessClaims<'a> {
        AccessClaims {
            iss: self.name(),
            aud: self.audience(),
            sub: token.subject.as_str(),
            sid: token.session.as_str(),
            jti: token.jti.as_str(),
            client_id: token.client.as_str(),
            iat: token.issued_at.whole_seconds(),
            exp: token.expires_at.whole_seconds(),
            scope: (!token.scope.is_empty()).then(|| token.scope.as_str()),
            own: token.own,
        }
    }

    fn refresh_claims<'a>(&'a self, token: &RefreshToken<'a>) -> RefreshClaims<'a> {
        RefreshClaims {
            iss: self.name(),
            aud: self.name(),
            sub: token.subject.as_str(),
            sid: token.session.as_str(),
            generation: token.generation,
            jti: token.jti.as_str(),
            client_id: token.client.as_str(),
            iat: token.issued_at.whole_seconds(),
            exp: token.expires_at.whole_seconds(),
            scope: (!token.scope.is_empty()).then(|| token.scope.as_str()),
            ext: (!token.own.is_empty()).then_some(token.own),
        }
    }

    fn sign(&self, kind: TokenKind, claims: &impl Serialize) -> Result<Box<str>, IssueError> {
        let token = self.key().sign(kind.typ(), claims)?;
        if token.len() > defaults::MAX_TOKEN_BYTES {
            return Err(IssueError::TooLarge {
                size: token.len(),
                limit: defaults::MAX_TOKEN_BYTES,
            });
        }
        Ok(token.into())
    }
}

#[derive(Serialize)]
struct AccessClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    sid: &'a str,
    jti: &'a str,
    client_id: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(flatten)]
    own: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct RefreshClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    sid: &'a str,
    #[serde(rename = "gen")]
    generation: u64,
    jti: &'a str,
    client_id: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<&'a Map<String, Value>>,
}

/// Bytes of a token beside its claims, for access and refresh tokens. Signs one of each, which also shows
/// that the key signs.
pub(super) fn overheads(key: &SigningKey) -> Result<[usize; 2], SignError> {
    let nothing = Map::new();
    let empty = |kind: TokenKind| {
        let token = key.sign(kind.typ(), &nothing)?;
        Ok(token.len() - encoded("{}".len()))
    };
    Ok([empty(TokenKind::Access)?, empty(TokenKind::Refresh)?])
}

/// Length of so many bytes in base64url without padding (RFC 7515 §2).
const fn encoded(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The highest generation that stores count exactly.
pub(super) const MAX_GENERATION: u64 = 1 << 52;

/// The last second of the year 9999: dates take no more digits.
const LATEST: u64 = 253_402_300_799;

/// Our own identifiers are as long as this one.
const UUID: &str = "00000000-0000-7000-8000-000000000000";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Algorithm;

    #[test]
    fn a_token_takes_exactly_what_was_computed() {
        for algorithm in [
            Algorithm::HS256,
            Algorithm::EdDSA,
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::RS256,
        ] {
            let key = SigningKey::generate(algorithm).unwrap();
            let kinds = [TokenKind::Access, TokenKind::Refresh];
            for (kind, overhead) in kinds.into_iter().zip(overheads(&key).unwrap()) {
                for length in 0..70 {
                    let claims = serde_json::json!({ "a": "b".repeat(length) });
                    let size = overhead + encoded(claims.to_string().len());
                    assert_eq!(key.sign(kind.typ(), &claims).unwrap().len(), size);
                }
            }
        }
    }

    /// An admitted session still fits in the last possible generation, and no room is given away.
    #[test]
    fn s42_a_session_that_is_admitted_fits_to_its_last_generation() {
        let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
        let issuer = Issuer::new(key, "https://auth.example.com", "api");
        let verifier = issuer.verifier();
        let (subject, client) = (Subject::from("alice"), ClientId::from("app"));
        let own = serde_json::json!({ "tenant": "acme" });
        let own = own.as_object().unwrap();
        for limit in [700, 1023, 4080, defaults::MAX_TOKEN_BYTES] {
            let of = |length| Scope::parse(&"x".repeat(length)).unwrap();
            let admits = |length| {
                let content = Content {
                    subject: &subject,
                    client: &client,
                    scope: &of(length),
                    own,
                };
                issuer.check(&content, &verifier, limit).is_ok()
            };
            let longest = (1..limit).rev().find(|length| admits(*length)).unwrap();
            let latest = Timestamp::from_seconds(LATEST);
            let refresh = issuer.sign_refresh(&RefreshToken {
                subject: &subject,
                session: &SessionId::opened_at(latest),
                generation: MAX_GENERATION,
                jti: &Jti::made_at(latest),
                client: &client,
                issued_at: latest,
                expires_at: latest,
                scope: &of(longest),
                own,
            });
            let size = refresh.unwrap().len();
            assert!((limit - 1..=limit).contains(&size), "{size} of {limit}");
        }
    }
}
