//! `POST /introspect` (RFC 7662).

use serde::Serialize;

use super::{
    OAuth, Reply,
    form::{Form, FormRequest},
    refused::{Challenge, Refused, private, settle},
};
use crate::{
    guard::{Access, Denied, Outage},
    session::Inspected,
    token::{BearerError, Registered, Scope, TokenKind, bearer},
    wire::{Json, Refusal},
};

impl OAuth {
    /// `POST /introspect` (RFC 7662): whether a token is good at this moment, and what it says.
    ///
    /// Only for confidential clients, and for whoever holds an access token with the scope of
    /// [`with_introspection_scope`](Self::with_introspection_scope). A token that is not good, for
    /// whatever reason, is `{"active":false}` and nothing else. When the store does not answer it is
    /// 503, whatever the guard's outage policy: nobody knows then.
    ///
    /// A refresh token has the issuer for `aud` and no `token_type`: a resource server that takes
    /// tokens for its own audience, as it must, takes none.
    pub async fn introspect(&self, request: &FormRequest<'_>) -> Reply {
        match self.try_introspect(request).await {
            Ok(reply) => private(reply),
            Err(Failed::Refused(refused)) => settle(Err(refused)),
            // RFC 7662 §2.3: as RFC 6750 §3 says for any other resource.
            Err(Failed::Denied(denied)) => Refusal::of(&denied, &Json::new()).into(),
        }
    }

    async fn try_introspect(&self, request: &FormRequest<'_>) -> Result<Reply, Failed> {
        let form = Form::read(request)?;
        match self.bearer(request)? {
            Some((_, _)) if form.get("client_secret").is_some() => {
                return Err(Refused::InvalidRequest("the client authenticates in two ways").into());
            }
            Some((token, scope)) => self.check_caller(token, scope).await?,
            None => {
                self.authenticate(request, &form)
                    .and_then(|client| match client.is_confidential() {
                        true => Ok(()),
                        false => Err(Refused::InvalidClient(Challenge::None)),
                    })
                    .map_err(challenged)?;
            }
        }
        let token = form
            .get("token")
            .ok_or(Refused::InvalidRequest("the token is missing"))?;
        match self.sessions.inspect(token).await {
            Ok(Some(inspected)) => Ok(Reply::json(200, &Active::of(&inspected))),
            Ok(None) => Ok(Reply::json(200, &Inactive { active: false })),
            Err(error) => Err(Refused::unavailable(&error).into()),
        }
    }

    /// The access token of the caller, where callers may have one.
    fn bearer<'a>(
        &'a self,
        request: &FormRequest<'a>,
    ) -> Result<Option<(&'a str, &'a Scope)>, Denied> {
        let ([header], Some(scope)) = (&request.authorization[..], &self.introspection_scope)
        else {
            return Ok(None);
        };
        match bearer(header) {
            Ok(token) => Ok(Some((token, scope))),
            Err(BearerError::OtherScheme) => Ok(None),
            Err(BearerError::Malformed) => Err(Denied::Malformed("the bearer token is malformed")),
        }
    }

    async fn check_caller(&self, token: &str, required: &Scope) -> Result<(), Denied> {
        let guard = self.sessions.guard().with_outage(Outage::Deny);
        let access: Access = guard.check(token).await?;
        // The guard may accept other issuers, whose scopes are not ours to trust.
        if access.registered().issuer.as_deref() != Some(self.sessions.issuer().name()) {
            return Err(Denied::InsufficientScope {
                required: required.clone(),
            });
        }
        access.require_scope(required)
    }
}

/// Here the answer is 401 with a challenge in any case (RFC 7662 §2.3): no browser comes along.
fn challenged(refused: Refused) -> Refused {
    match refused {
        Refused::InvalidClient(_) => Refused::InvalidClient(Challenge::Basic),
        refused => refused,
    }
}

/// Why there is no answer: as a token endpoint says it, or as a resource does.
enum Failed {
    Refused(Refused),
    Denied(Denied),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Denied> for Failed {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

#[derive(Serialize)]
struct Inactive {
    active: bool,
}

/// RFC 7662 §2.2.
#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Audience<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
}

/// One text, or several (RFC 7519 §4.1.3).
#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Several(&'a [Box<str>]),
}

impl<'a> Active<'a> {
    fn of(inspected: &'a Inspected) -> Self {
        let claims: &Registered = &inspected.claims;
        Self {
            active: true,
            token_type: (inspected.kind == TokenKind::Access).then_some("Bearer"),
            scope: claims.scope.as_str(),
            client_id: claims.client_id.as_ref().map(AsRef::as_ref),
            exp: claims.expires_at.whole_seconds(),
            iat: claims.issued_at.map(|instant| instant.whole_seconds()),
            sub: claims.subject.as_ref().map(AsRef::as_ref),
            aud: match &claims.audience[..] {
                [] => None,
                [one] => Some(Audience::One(one)),
                several => Some(Audience::Several(several)),
            },
            iss: claims.issuer.as_deref(),
            jti: claims.jti.as_ref().map(AsRef::as_ref),
            sid: claims.session.as_ref().map(AsRef::as_ref),
        }
    }
}
