//! The routes that accompany a login: refresh, logout, log out everywhere, list of sessions.

mod asked;
mod cookies;
mod manage;
mod password;
mod refresh;
mod route;

use std::{fmt, sync::Arc};

use self::password::DynPasswordChange;
pub use self::{
    asked::Asked,
    cookies::{CookiePathError, Cookies, SameSite},
    password::{PasswordChange, PasswordError},
    route::Route,
};
use crate::{
    Denied, Report, defaults,
    guard::Access,
    session::{Pair, Sessions},
    store::StoreError,
    token::{ClientId, Subject},
    verify::{Verified, VerifyError},
    wire::{CrossOrigin, Offered, Refusal, Rejection, Renderer, Reply},
};

/// The JSON routes of first-party apps, without a web framework: plain data in, plain data out. An
/// adapter finds the route, reads the body, checks the access token, and translates the [`Reply`].
///
/// | function | needs | answers |
/// | --- | --- | --- |
/// | [`refresh`](Self::refresh) | refresh token in the body | 200 with the next pair |
/// | [`logout`](Self::logout) | access token, lapsed or not, or refresh token in the body, or both | 204 |
/// | [`logout_all`](Self::logout_all) | access token | 204 |
/// | [`logout_others`](Self::logout_others) | access token | 204 |
/// | [`password`](Self::password) | access token, current and new password in the body | 204 |
/// | [`list`](Self::list) | access token | 200 with the sessions |
/// | [`end`](Self::end) | access token | 204, or 404 |
///
/// Refusals are `{"error", "error_description"}`:
///
/// | status | `error` | |
/// | --- | --- | --- |
/// | 400, 413, 415 | `invalid_request` | the request cannot be understood, or the new password is not taken |
/// | 401 | `invalid_grant` | the refresh token does not work: one answer to a lapsed, a forged, a revoked and a stolen one, so that a thief learns nothing. To an app it means: log in, unless another part of it holds a newer token. |
/// | 401 | `invalid_token` | the access token does not work |
/// | 403 | `access_denied` | the token is a third party's, or the page is, or the current password is wrong |
/// | 404 | `not_found` | the user has no such session |
/// | 503 | `temporarily_unavailable` | with `Retry-After`: keep the tokens and try again |
///
/// That is 401 and not the 400 of RFC 6749 §5.2, which the OAuth routes answer: what apps are built
/// around is "401: log in". A second logout with the same tokens is 204 again: what was asked for
/// holds, and the first answer may have been lost.
///
/// A logout ends the session of every token of ours that it brings, and lets the others be: 401 only where
/// none is ours. Cookies are cleared when what they hold is dead or was never ours, and left alone where it
/// lives or that is unknown.
#[derive(Clone)]
#[must_use]
pub struct Companion {
    sessions: Sessions,
    /// The largest token that a body may hold.
    body_limit: usize,
    clients: Arc<[ClientId]>,
    cookies: Option<Arc<Cookies>>,
    render: Renderer,
    password: Option<Arc<dyn DynPasswordChange>>,
    left_out: Vec<Route>,
}

impl Companion {
    /// The routes over these sessions, tokens in headers and bodies.
    pub fn new(sessions: &Sessions) -> Self {
        Self {
            sessions: sessions.clone(),
            body_limit: sessions.max_token_bytes(),
            clients: [defaults::CLIENT_ID.into()].into(),
            cookies: None,
            render: Renderer::default(),
            password: None,
            left_out: Vec::new(),
        }
    }

    /// Leaves a route out.
    pub fn without(mut self, route: Route) -> Self {
        self.left_out.push(route);
        self
    }

    /// The routes to be served.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        let can_be_served = |route: &Route| *route != Route::Password || self.password.is_some();
        let is_served = move |route: &Route| !self.left_out.contains(route) && can_be_served(route);
        Route::ALL.into_iter().filter(is_served)
    }

    /// The clients that are first party: their tokens are refreshed here, and may list and end the
    /// user's sessions. Name those that logins are granted to with
    /// [`Grant::with_client`](crate::session::Grant::with_client); default
    /// [`CLIENT_ID`](defaults::CLIENT_ID), which is a login's without one. The clients of others
    /// refresh at the OAuth routes, where they prove who they are.
    ///
    /// # Panics
    ///
    /// When there are none, or one without a name: the routes would refuse every token.
    pub fn with_clients<C: Into<ClientId>>(self, clients: impl IntoIterator<Item = C>) -> Self {
        let clients: Arc<[ClientId]> = clients.into_iter().map(Into::into).collect();
        assert!(
            !clients.is_empty() && clients.iter().all(|client| !client.as_str().is_empty()),
            "companion routes without a first-party client refuse every token: name each client, \
             or leave `with_clients` out"
        );
        Self { clients, ..self }
    }

    /// Also takes tokens from cookies and hands them out there, for browsers. Who sends the refresh
    /// token in the body still gets the pair in the body.
    ///
    /// Log in by the [`sessions`](Self::sessions) of these routes: they open no session whose tokens could
    /// grow larger than a cookie holds.
    pub fn with_cookies(self, cookies: Cookies) -> Self {
        let limit = self.body_limit.min(cookies.max_token_bytes());
        Self {
            sessions: self.sessions.with_max_token_bytes(limit),
            cookies: Some(Arc::new(cookies)),
            ..self
        }
    }

    /// Serves `POST /password`, for which `change` checks and sets the password. See [`PasswordChange`] for
    /// what it is asked.
    pub fn with_password_change(self, change: impl PasswordChange) -> Self {
        let password = Some(Arc::new(change) as Arc<dyn DynPasswordChange>);
        Self { password, ..self }
    }

    /// Renders refusals of access tokens differently.
    pub fn with_render(self, render: Renderer) -> Self {
        Self { render, ..self }
    }

    /// The sessions. With [cookies](Self::with_cookies), their tokens are no larger than a cookie holds.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The cookies, if tokens are in cookies.
    pub fn cookies(&self) -> Option<&Cookies> {
        self.cookies.as_deref()
    }

    /// The answer to a login by the [`sessions`](Self::sessions) of these routes: the pair in cookies where
    /// there are [any](Self::with_cookies), else in the body.
    pub fn signed_in(&self, pair: &Pair) -> Reply {
        match &self.cookies {
            Some(cookies) => cookies.set(pair),
            None => Reply::tokens(pair),
        }
    }

    /// Refuses a request that a page of another origin may have caused. Without cookies it refuses
    /// nothing.
    ///
    /// The routes here, and layers that take tokens from cookies, ask this themselves. A login does
    /// not: a page that logs its visitors in as somebody else sees what they then enter. The
    /// extractor `SameOrigin` of each adapter asks this before a handler runs.
    ///
    /// # Errors
    ///
    /// [`Rejection::Denied`], 403 `access_denied`.
    pub fn require_same_origin(&self, asked: &Asked<'_>) -> Result<(), Rejection> {
        self.admit(asked)
            .map_err(|reason| Rejection::denied(Denied::CrossOrigin(reason), &self.render))
    }

    /// Refusal of a request that a page of another origin may have caused, if so; see
    /// [`require_same_origin`](Self::require_same_origin).
    pub fn refuse_cross_origin(&self, asked: &Asked<'_>) -> Option<Reply> {
        let reason = self.admit(asked).err()?;
        Some(self.denied(&Denied::CrossOrigin(reason)))
    }

    fn admit(&self, asked: &Asked<'_>) -> Result<(), CrossOrigin> {
        let cookies = self.cookies.as_deref();
        cookies.map_or(Ok(()), |cookies| cookies.admit(asked))
    }

    /// Like [`refuse_cross_origin`](Self::refuse_cross_origin), but only for requests that carry our
    /// cookies. Other requests carry tokens of their own, which pages of other origins do not have.
    fn refuse_borrowed_cookies(&self, asked: &Asked<'_>) -> Result<(), Reply> {
        match &self.cookies {
            Some(cookies) if cookies.are_in(asked) => {
                self.refuse_cross_origin(asked).map_or(Ok(()), Err)
            }
            _ => Ok(()),
        }
    }

    /// Clears those cookies of a request that hold nothing alive: `is_dead` says it of a token of ours, and
    /// what is none never opened anything.
    fn clear(&self, asked: &Asked<'_>, reply: Reply, is_dead: impl Fn(&Verified) -> bool) -> Reply {
        let Some(cookies) = self.cookies.as_deref().filter(|own| own.are_in(asked)) else {
            return reply;
        };
        let is_over = |name: &str| {
            let mut alone = Offered::new();
            alone.cookies(name, asked.all("cookie"));
            match alone.decide() {
                Ok(token) => match self.sessions.any_of_ours(&token) {
                    Ok(verified) => is_dead(&verified),
                    Err(error) => !may_be_ours(&error),
                },
                // There is none, so there is none to lose.
                Err(Denied::Missing) => true,
                // Two tokens, say: other readers of the request may take either.
                Err(_) => false,
            }
        };
        cookies.clear(reply, is_over)
    }

    /// Whose sessions the bearer of an access token may manage.
    fn manager<'a>(&self, access: &'a Access) -> Result<&'a Subject, Reply> {
        let subject = self.sessions.owner(access);
        let is_ours = access.client().is_some_and(|c| self.clients.contains(c));
        subject
            .filter(|_| is_ours)
            .ok_or_else(|| Reply::error(403, "access_denied", "the access token is not for this"))
    }

    fn denied(&self, denied: &Denied) -> Reply {
        Refusal::of(denied, &self.render).into()
    }
}

/// Returns true if a token that is refused here may still work elsewhere or later: this process does not know
/// its key, or it is dated ahead of the clock.
fn may_be_ours(error: &VerifyError) -> bool {
    matches!(
        error,
        VerifyError::UnknownKey
            | VerifyError::NotYetValid
            | VerifyError::IssuedInFuture
            | VerifyError::BornInFuture
    )
}

/// The store cannot tell. The client keeps what it has and tries again.
fn unavailable(error: &StoreError) -> Reply {
    temporarily(Report(error).quoted())
}

fn temporarily(reason: impl fmt::Display) -> Reply {
    tracing::debug!(status = 503, %reason, "refused a request");
    let description = "try again shortly; the tokens may still be good";
    Reply::error(503, "temporarily_unavailable", description)
}

impl fmt::Debug for Companion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Companion")
            .field("sessions", &self.sessions)
            .field("clients", &self.clients)
            .field("cookies", &self.cookies)
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}
