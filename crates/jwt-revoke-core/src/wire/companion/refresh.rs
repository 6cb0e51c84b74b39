//! Refresh and logout: the routes that take refresh tokens.

use std::{borrow::Cow, sync::Arc};

use super::{Asked, Companion, Reply, temporarily, unavailable};
use crate::{
    Denied, Report,
    session::EndError,
    token::{ClientId, SessionId, TokenKind},
    verify::Verified,
    wire::Offered,
};

impl Companion {
    /// `POST /refresh`: the refresh token, in the body or in its cookie, for the next pair.
    ///
    /// Answers where the token came from, and touches no cookie when it refuses: whoever loses a race
    /// must not take the winner's.
    pub async fn refresh(&self, asked: &Asked<'_>) -> Reply {
        self.refreshed(asked)
            .await
            .unwrap_or_else(|refusal| refusal)
    }

    /// `POST /logout`: ends the session of the access token that the request offers, lapsed or not,
    /// and of the refresh token in the body or its cookie.
    ///
    /// `access` is what [`Offered::decide`] says. Each token that is ours, and in the place of its kind,
    /// ends its session, whatever the others are: the holder of a token may end its session. 401 only when
    /// there is none of ours, 400 when two of one kind disagree, which ends nothing. Cookies are cleared unless the session
    /// of their token lives, or that is unknown.
    pub async fn logout(&self, access: Result<Cow<'_, str>, Denied>, asked: &Asked<'_>) -> Reply {
        if let Err(refusal) = self.refuse_borrowed_cookies(asked) {
            return refusal;
        }
        let (ended, reply) = match self.logged_out(access, asked).await {
            Ok(ended) => (ended, Reply::no_content()),
            // Tokens that open nothing: the user wants them gone all the same.
            Err(refusal) if refusal.status == 401 => (Vec::new(), refusal),
            Err(refusal) => return refusal,
        };
        self.clear(asked, reply, |token| {
            let session = token.registered().session.as_ref();
            session.is_some_and(|session| ended.contains(session))
        })
    }

    async fn refreshed(&self, asked: &Asked<'_>) -> Result<Reply, Reply> {
        self.refuse_borrowed_cookies(asked)?;
        let Some(offered) = self.offered(asked)? else {
            return Err(match self.cookies {
                Some(_) => invalid_grant(),
                None => Reply::malformed("there is no refresh_token"),
            });
        };
        let clients = Arc::clone(&self.clients);
        let presenter = move |of: &ClientId| {
            let own = clients.iter().find(|own| *own == of);
            // Nobody's: a token always names a client.
            Some(own.cloned().unwrap_or_else(|| ClientId::from("")))
        };
        let limit = match (&self.cookies, offered.by_cookie) {
            (Some(cookies), true) => cookies.max_token_bytes().min(self.body_limit),
            _ => self.body_limit,
        };
        let refreshed = self.sessions.refresh_by(&offered.token, presenter, limit);
        match refreshed.await {
            Ok(pair) => Ok(match (&self.cookies, offered.by_cookie) {
                (Some(cookies), true) => cookies.set(&pair),
                _ => Reply::tokens(&pair),
            }),
            Err(error) if error.is_temporary() => Err(temporarily(Report(&error).quoted())),
            Err(error) => {
                tracing::debug!(status = 401, reason = %Report(&error).quoted(), "refused a refresh");
                Err(invalid_grant())
            }
        }
    }

    /// The sessions that have ended.
    async fn logged_out(
        &self,
        access: Result<Cow<'_, str>, Denied>,
        asked: &Asked<'_>,
    ) -> Result<Vec<SessionId>, Reply> {
        let access = match access {
            Ok(token) => Some(self.of_kind(&token, TokenKind::Access, |invalid| {
                self.denied(&Denied::Invalid(invalid))
            })),
            Err(Denied::Missing) => None,
            Err(denied) => return Err(self.denied(&denied)),
        };
        let refresh = self.offered(asked)?.map(|offered| {
            self.of_kind(&offered.token, TokenKind::Refresh, |invalid| {
                tracing::debug!(status = 401, reason = %Report(&invalid).quoted(), "refused a logout");
                invalid_grant()
            })
        });
        let mut ours = Vec::with_capacity(2);
        let mut refusal = None;
        for token in [access, refresh].into_iter().flatten() {
            match token {
                Ok(verified) => ours.push(verified),
                Err(refused) => refusal = refusal.or(Some(refused)),
            }
        }
        if ours.is_empty() {
            return Err(refusal.unwrap_or_else(|| self.denied(&Denied::Missing)));
        }
        let mut ended: Vec<SessionId> = Vec::with_capacity(ours.len());
        let mut failure = None;
        // All of them, also after one has failed: each end counts.
        for token in ours {
            let session = token.registered().session.clone();
            if session
                .as_ref()
                .is_some_and(|session| ended.contains(session))
            {
                continue;
            }
            match self.sessions.logout_verified(token).await {
                Ok(()) => ended.extend(session),
                Err(EndError::Store(error)) => failure = Some(unavailable(&error)),
                // Ours, and with nothing to revoke it by: we never sign such a token.
                Err(_) => failure = failure.or_else(|| Some(invalid_grant())),
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok(ended),
        }
    }

    /// A token of ours in its right place: a refresh token ends nothing as an access token, nor the
    /// other way round.
    fn of_kind(
        &self,
        token: &str,
        kind: TokenKind,
        refuse: impl FnOnce(crate::verify::VerifyError) -> Reply,
    ) -> Result<Verified, Reply> {
        match self.sessions.any_of_ours(token) {
            Ok(verified) if verified.kind() == kind => Ok(verified),
            Ok(_) => Err(refuse(crate::verify::VerifyError::OtherType)),
            Err(invalid) => Err(refuse(invalid)),
        }
    }

    /// The one refresh token of a request: "clients MUST NOT use more than one method" goes for it
    /// as well (RFC 6750 §2), but one token in two places is one token.
    fn offered(&self, asked: &Asked<'_>) -> Result<Option<RefreshToken>, Reply> {
        let mut offered = Offered::new();
        let mut by_cookie = false;
        if let Some(cookies) = &self.cookies {
            let mut alone = Offered::new();
            alone.cookies(cookies.refresh(), asked.all("cookie"));
            by_cookie = alone.decide().is_ok();
            offered.cookies(cookies.refresh(), asked.all("cookie"));
        }
        if let Some(token) = asked.refresh_token()? {
            offered.token(token);
        }
        match offered.decide() {
            Ok(token) => Ok(Some(RefreshToken {
                token: token.into_owned(),
                by_cookie,
            })),
            Err(Denied::Missing) => Ok(None),
            Err(_) => Err(Reply::malformed("there are two refresh tokens")),
        }
    }
}

struct RefreshToken {
    token: String,
    by_cookie: bool,
}

/// The same words for theft, expiry and nonsense.
fn invalid_grant() -> Reply {
    let description = "the refresh token is invalid, expired or revoked";
    Reply::error(401, "invalid_grant", description)
}
