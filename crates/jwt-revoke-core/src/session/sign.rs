//! Signing the tokens of a session.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    clock::Timestamp,
    defaults,
    session::{IssueError, Issuer},
    token::{ClientId, Jti, Scope, SessionId, Subject, TokenKind},
};

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
    pub(super) fn sign_access(&self, token: &AccessToken<'_>) -> Result<Box<str>, IssueError> {
        self.sign(
            TokenKind::Access,
            &AccessClaims {
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
            },
        )
    }

    pub(super) fn sign_refresh(&self, token: &RefreshToken<'_>) -> Result<Box<str>, IssueError> {
        self.sign(
            TokenKind::Refresh,
            &RefreshClaims {
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
            },
        )
    }

    fn sign(&self, kind: TokenKind, claims: &impl Serialize) -> Result<Box<str>, IssueError> {
        let token = self.key().sign(kind.typ(), claims)?;
        if token.len() > defaults::MAX_TOKEN_BYTES {
            return Err(IssueError::TooLarge { size: token.len() });
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
