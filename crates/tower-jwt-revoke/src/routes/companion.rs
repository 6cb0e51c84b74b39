//! The routes that accompany a login.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{RawPathParams, Request, State, rejection::RawPathParamsRejection},
    response::Response,
    routing::{delete, get, post},
};
use bytes::Bytes;
use http::{HeaderMap, request::Parts, uri::Authority};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jwt_revoke_core::{
    defaults,
    session::{Pair, Sessions},
    wire::{Asked, Companion, Rejection, Reply, Route},
};

use crate::{RevocationLayer, Token, response::response};

#[cfg(doc)]
use crate::SameOrigin;

/// The routes of first-party apps as they are by default: [`Routes::new`], all of them.
///
/// ```
/// # use axum::{Router, routing::get};
/// # use jwt_revoke_core::session::Sessions;
/// # use tower_jwt_revoke::{AuthUser, RevocationLayer, routes};
/// # async fn me(_: AuthUser) {}
/// # fn example(sessions: Sessions) -> Router {
/// Router::new()
///     .route("/me", get(me))
///     .route_layer(RevocationLayer::new(sessions.guard().clone()))
///     .nest("/auth", routes(&sessions)) // after the layer: they check their own tokens
/// # }
/// ```
pub fn routes<S: Clone + Send + Sync + 'static>(sessions: &Sessions) -> Router<S> {
    Routes::new(sessions).into_router()
}

/// The routes of first-party apps: refresh, logout, log out everywhere, list of sessions. What they
/// take and answer is at [`Companion`].
///
/// | route | needs | answers |
/// | --- | --- | --- |
/// | `POST /refresh` | `{"refresh_token"}` | 200 with the next pair |
/// | `POST /logout` | access token, lapsed or not, or `{"refresh_token"}`, or both | 204 |
/// | `POST /logout-all` | access token | 204 |
/// | `POST /logout-others` | access token | 204 |
/// | `POST /password`, [if wanted](Self::with_password_change) | access token, `{"current_password", "new_password"}` | 204 |
/// | `GET /sessions` | access token | 200 `{"sessions": [..]}` |
/// | `DELETE /sessions/{sid}` | access token | 204, or 404 |
///
/// Mount them *after* the layer, which would otherwise refuse a refresh whose access token has
/// lapsed, and use `route_layer` for it, so that unknown paths are answered 404 and not 401.
///
/// The login is the application's. It says who it is, and hands out the pair:
///
/// ```
/// use axum::{Router, extract::State, response::{IntoResponse, Response}, routing::post};
/// use http::StatusCode;
/// use jwt_revoke_core::{session::{Grant, Sessions}, wire::{Cookies, Route}};
/// use tower_jwt_revoke::{Routes, SameOrigin};
///
/// // `SameOrigin`: no other page may log its visitors in here.
/// async fn login(_: SameOrigin, State(routes): State<Routes>, password: String) -> Response {
///     let Ok(attempt) = routes.sessions().begin().await else {
///         return StatusCode::SERVICE_UNAVAILABLE.into_response();
///     };
///     if password != "wonderland" {
///         return StatusCode::UNAUTHORIZED.into_response();
///     }
///     match routes.sessions().login(attempt, "alice", &Grant::new()).await {
///         Ok(pair) => routes.signed_in(&pair),
///         Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
///     }
/// }
///
/// fn app(sessions: &Sessions) -> Result<Router, Box<dyn std::error::Error>> {
///     let routes = Routes::new(sessions)
///         .without(Route::LogoutOthers)
///         .with_cookies(Cookies::under("/auth")?); // for browsers
///     Ok(Router::new()
///         .route("/login", post(login))
///         .nest("/auth", routes.clone().into_router())
///         .with_state(routes))
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "routes answer nothing until they are mounted: `into_router`"]
pub struct Routes {
    companion: Companion,
    layer: RevocationLayer,
}

impl Routes {
    jwt_revoke_core::routes_methods!();

    /// The answer to a login; see [`Companion::signed_in`].
    pub fn signed_in(&self, pair: &Pair) -> Response {
        answer(self.companion.signed_in(pair))
    }

    /// Refusal of a request that a page of another origin may have caused, where tokens are in
    /// cookies; see [`Companion::refuse_cross_origin`]. As an extractor: [`SameOrigin`].
    pub fn refuse_cross_origin(&self, request: &Parts) -> Option<Response> {
        let refusal = self.companion.refuse_cross_origin(&asked(request, &[]));
        refusal.map(answer)
    }

    /// See [`SameOrigin`].
    pub(crate) fn require_same_origin(&self, request: &Parts) -> Result<(), Rejection> {
        self.companion.require_same_origin(&asked(request, &[]))
    }

    /// The router, to be nested wherever the application likes.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        // At each method: around a path or the router, the layer would answer 401 to other methods
        // (a preflight among them) and to unknown paths.
        let layer = self.layer.clone();
        let mut router = Router::new();
        for route in self.companion.routes() {
            let handler = match route {
                Route::Refresh => post(refresh),
                Route::Logout => post(logout),
                Route::LogoutAll => post(logout_all),
                Route::LogoutOthers => post(logout_others),
                Route::Password => post(password),
                Route::List => get(list),
                Route::End => delete(end),
                _ => continue,
            };
            router = router.route(
                route.path(),
                match route.is_behind_layer() {
                    true => handler.route_layer(layer.clone()),
                    false => handler,
                },
            );
        }
        router.with_state(Arc::new(self))
    }
}

type Mounted = State<Arc<Routes>>;

async fn refresh(State(routes): Mounted, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    answer(match read(body).await {
        Ok(body) => routes.companion.refresh(&asked(&parts, &body)).await,
        Err(refusal) => refusal,
    })
}

async fn logout(State(routes): Mounted, request: Request) -> Response {
    let (parts, body): (Parts, Body) = request.into_parts();
    answer(match read(body).await {
        Ok(body) => {
            let access = routes.layer.offered(&parts);
            let asked = asked(&parts, &body);
            routes.companion.logout(access, &asked).await
        }
        Err(refusal) => refusal,
    })
}

async fn logout_all(State(routes): Mounted, token: Token, parts: Parts) -> Response {
    let asked = asked(&parts, &[]);
    answer(routes.companion.logout_all(&token.0, &asked).await)
}

async fn logout_others(State(routes): Mounted, token: Token, parts: Parts) -> Response {
    let asked = asked(&parts, &[]);
    answer(routes.companion.logout_others(&token.0, &asked).await)
}

async fn password(State(routes): Mounted, token: Token, parts: Parts, body: Body) -> Response {
    answer(match read(body).await {
        Ok(body) => {
            let asked = asked(&parts, &body);
            routes.companion.password(&token.0, &asked).await
        }
        Err(refusal) => refusal,
    })
}

async fn list(State(routes): Mounted, token: Token) -> Response {
    answer(routes.companion.list(&token.0).await)
}

async fn end(
    State(routes): Mounted,
    token: Token,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    parts: Parts,
) -> Response {
    // By name: there may be others in the path that these routes are nested at.
    let parameters = parameters.ok();
    let session = parameters.as_ref().and_then(|all| {
        let own = all.iter().filter(|(name, _)| *name == "sid").last();
        own.map(|(_, session)| session)
    });
    let asked = asked(&parts, &[]);
    let session = session.unwrap_or_default();
    answer(routes.companion.end(&token.0, session, &asked).await)
}

fn asked<'a>(request: &'a Parts, body: &'a [u8]) -> Asked<'a> {
    let authority = request.uri.authority().map(Authority::as_str);
    Asked::new(fields(&request.headers), body).with_authority(authority)
}

/// Names in lower case, and values.
pub(super) fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    let fields = headers.iter();
    fields.map(|(name, value)| (name.as_str(), value.as_bytes()))
}

async fn read(body: Body) -> Result<Bytes, Reply> {
    match Limited::new(body, defaults::MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Reply::too_large()),
        Err(_) => Err(Reply::cut_short()),
    }
}

fn answer(reply: Reply) -> Response {
    response(reply).map(Into::into)
}
