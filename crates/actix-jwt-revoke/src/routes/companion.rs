//! The routes that accompany a login.

use std::rc::Rc;

use actix_web::{
    FromRequest as _, HttpRequest, HttpResponse, ResponseError as _,
    dev::{AppService, HttpServiceFactory, Payload},
    http::{header::HeaderMap, uri::Authority},
    web,
};
use jwt_revoke_core::{
    defaults,
    session::{Pair, Sessions},
    wire::{Asked, Companion, Rejection, Reply, Route},
};

use super::resource;
use crate::{RevocationLayer, Token, response::response};

#[cfg(doc)]
use crate::SameOrigin;

/// The routes of first-party apps as they are by default: [`Routes::new`], all of them.
///
/// ```
/// # use actix_web::{App, web};
/// # use actix_jwt_revoke::routes;
/// # use jwt_revoke_core::session::Sessions;
/// # fn example(sessions: Sessions) {
/// let app = App::new().service(web::scope("/auth").service(routes(&sessions)));
/// # }
/// ```
pub fn routes(sessions: &Sessions) -> Routes {
    Routes::new(sessions)
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
/// A service for an app or a scope. They check their own tokens: mount them where no
/// [`RevocationLayer`] is around, which would refuse a refresh whose access token has lapsed.
///
/// The login is the application's. It says who it is, and hands out the pair:
///
/// ```
/// use actix_jwt_revoke::{Routes, SameOrigin};
/// use actix_web::{App, HttpResponse, dev::HttpServiceFactory, web};
/// use jwt_revoke_core::{session::{Grant, Sessions}, wire::{Cookies, Route}};
///
/// // `SameOrigin`: no other page may log its visitors in here.
/// async fn login(_: SameOrigin, routes: web::Data<Routes>, password: String) -> HttpResponse {
///     let Ok(attempt) = routes.sessions().begin().await else {
///         return HttpResponse::ServiceUnavailable().finish();
///     };
///     if password != "wonderland" {
///         return HttpResponse::Unauthorized().finish();
///     }
///     match routes.sessions().login(attempt, "alice", &Grant::new()).await {
///         Ok(pair) => routes.signed_in(&pair),
///         Err(_) => HttpResponse::ServiceUnavailable().finish(),
///     }
/// }
///
/// fn auth(sessions: &Sessions) -> Result<impl HttpServiceFactory, Box<dyn std::error::Error>> {
///     let routes = Routes::new(sessions)
///         .without(Route::LogoutOthers)
///         .with_cookies(Cookies::under("/auth")?); // for browsers
///     Ok(web::scope("/auth")
///         .app_data(web::Data::new(routes.clone()))
///         .route("/login", web::post().to(login))
///         .service(routes))
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "routes answer nothing until they are mounted: `Scope::service`"]
pub struct Routes {
    companion: Companion,
    layer: RevocationLayer,
}

impl Routes {
    jwt_revoke_core::routes_methods!();

    /// The answer to a login; see [`Companion::signed_in`].
    pub fn signed_in(&self, pair: &Pair) -> HttpResponse {
        response(self.companion.signed_in(pair))
    }

    /// Refusal of a request that a page of another origin may have caused, where tokens are in
    /// cookies; see [`Companion::refuse_cross_origin`]. As an extractor: [`SameOrigin`].
    pub fn refuse_cross_origin(&self, request: &HttpRequest) -> Option<HttpResponse> {
        let refusal = self.companion.refuse_cross_origin(&asked(request, &[]));
        refusal.map(response)
    }

    /// See [`SameOrigin`].
    pub(crate) fn require_same_origin(&self, request: &HttpRequest) -> Result<(), Rejection> {
        self.companion.require_same_origin(&asked(request, &[]))
    }

    async fn answer(&self, route: Route, request: &HttpRequest, payload: web::Payload) -> Reply {
        let body = match read(payload).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let asked = asked(request, &body);
        match route {
            Route::Refresh => self.companion.refresh(&asked).await,
            _ => {
                let access = self.layer.offered(request);
                self.companion.logout(access, &asked).await
            }
        }
    }

    /// The answer of a route behind the layer.
    async fn manage(
        &self,
        route: Route,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> HttpResponse {
        let access = match Token::from_request(request, &mut Payload::None).await {
            Ok(Token(access)) => access,
            Err(rejection) => return rejection.error_response(),
        };
        let body = match route {
            Route::Password => match read(payload).await {
                Ok(body) => body,
                Err(refusal) => return response(refusal),
            },
            _ => web::Bytes::new(),
        };
        let asked = asked(request, &body);
        response(match route {
            Route::LogoutAll => self.companion.logout_all(&access, &asked).await,
            Route::LogoutOthers => self.companion.logout_others(&access, &asked).await,
            Route::Password => self.companion.password(&access, &asked).await,
            Route::List => self.companion.list(&access).await,
            _ => {
                // By name: there may be others in the path that these routes are nested at.
                let parameters = request.match_info().iter();
                let session = parameters.filter(|(name, _)| *name == "sid").last();
                let session = session.map_or("", |(_, session)| session);
                self.companion.end(&access, session, &asked).await
            }
        })
    }
}

impl HttpServiceFactory for Routes {
    fn register(self, config: &mut AppService) {
        let routes = Rc::new(self);
        for route in routes.companion.routes() {
            let shared = Rc::clone(&routes);
            let handler = if route.is_behind_layer() {
                let manage = move |request: HttpRequest, payload: web::Payload| {
                    let routes = Rc::clone(&shared);
                    async move { routes.manage(route, &request, payload).await }
                };
                // At the method: around a path, the layer would answer 401 to other methods, a
                // preflight among them.
                web::to(manage).wrap(routes.layer.clone())
            } else {
                web::to(move |request: HttpRequest, payload: web::Payload| {
                    let routes = Rc::clone(&shared);
                    async move { response(routes.answer(route, &request, payload).await) }
                })
            };
            resource(route.path(), route.method(), handler).register(config);
        }
    }
}

fn asked<'a>(request: &'a HttpRequest, body: &'a [u8]) -> Asked<'a> {
    let authority = request.uri().authority().map(Authority::as_str);
    Asked::new(fields(request.headers()), body).with_authority(authority)
}

/// Names in lower case, and values.
pub(super) fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
}

async fn read(payload: web::Payload) -> Result<web::Bytes, Reply> {
    match payload.to_bytes_limited(defaults::MAX_BODY_BYTES).await {
        Ok(body) => body.map_err(|_| Reply::cut_short()),
        Err(_) => Err(Reply::too_large()),
    }
}
