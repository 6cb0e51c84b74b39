//! The routes.

use actix_jwt_revoke::{AuthUser, RevocationLayer, Routes, SameOrigin, oauth_routes, well_known};
use actix_web::{
    Error, HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _,
    error::{InternalError, JsonPayloadError},
    http::{StatusCode, header},
    web::{self, Data, Json, JsonConfig, ServiceConfig},
};
use example_shared::{Busy, Stop, Users, login_failed, malformed, not_ready};
use jwt_revoke_core::{
    session::{Grant, LoginError, Sessions},
    token::Subject,
    wire::oauth::{Metadata, OAuth},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::socket::talks;

pub(crate) fn app(
    config: &mut ServiceConfig,
    sessions: &Sessions,
    users: &Users,
    stop: &Stop,
    (oauth, metadata): &(OAuth, Metadata),
) {
    let table = users.clone();
    let routes = Routes::new(sessions).with_password_change(
        move |user: Subject, current: String, new: String| {
            let table = table.clone();
            async move { table.change(user.as_str().to_owned(), current, new).await }
        },
    );
    let protected = || RevocationLayer::new(sessions.guard().clone());
    config
        .app_data(Data::new(routes.clone()))
        .app_data(Data::new(users.clone()))
        .app_data(Data::new(stop.clone()))
        .app_data(JsonConfig::default().error_handler(|error, _| not_json(&error)))
        .service(web::resource("/me").route(web::get().to(me).wrap(protected())))
        .service(web::resource("/ws").route(web::get().to(talks).wrap(protected())))
        .service(web::resource("/public").get(public))
        .service(web::resource("/login").post(login))
        .service(web::resource("/healthz").get(healthz))
        .service(web::resource("/readyz").get(readyz))
        // The companion routes check their own tokens, so they are not behind the layer.
        .service(
            web::scope("/auth")
                .service(routes)
                .service(oauth_routes(oauth.clone())),
        )
        .service(well_known(metadata.clone()));
}

async fn public() -> Json<Value> {
    Json(json!({ "hello": "world" }))
}

/// The handler runs only with a token that is genuine and not revoked.
async fn me(user: AuthUser) -> Json<Value> {
    Json(json!({
        "sub": user.subject(),
        "sid": user.session(),
        "jti": user.jti(),
        "exp": user.expires_at().whole_seconds(),
    }))
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

/// Making sure who it is stays the application's; "this is Alice" becomes a session here. With tokens
/// in cookies (`Routes::with_cookies`), `SameOrigin` keeps other pages from logging visitors in.
async fn login(
    _: SameOrigin,
    routes: Data<Routes>,
    users: Data<Users>,
    request: HttpRequest,
    Json(Credentials { username, password }): Json<Credentials>,
) -> HttpResponse {
    // actix-web reads `text/json` too; axum does not.
    let media_type = request.mime_type().ok().flatten();
    if media_type.is_none_or(|media_type| media_type.type_() != "application") {
        return not_read(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let sessions = routes.sessions();
    // Before the password is checked: if it is changed meanwhile, this login is refused.
    let attempt = match sessions.begin().await {
        Ok(attempt) => attempt,
        Err(error) => return failed(&error.into()),
    };
    match users.check(username.clone(), password).await {
        Ok(true) => {}
        Ok(false) => return refused("wrong name or password"),
        Err(Busy) => return unavailable("too many logins at the moment"),
    }
    let device = request.headers().get(header::USER_AGENT);
    let device = device.and_then(|agent| agent.to_str().ok());
    let grant = Grant::new().with_device(device.unwrap_or_default());
    match sessions.login(attempt, username, &grant).await {
        Ok(pair) => routes.signed_in(&pair),
        Err(error) => failed(&error),
    }
}

/// The same answers as with axum; actix-web has 400 for another media type.
fn not_json(error: &JsonPayloadError) -> Error {
    let status = match error {
        JsonPayloadError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        other => other.status_code(),
    };
    InternalError::from_response("not read", not_read(status)).into()
}

fn not_read(status: StatusCode) -> HttpResponse {
    let (status, description) = malformed(status.as_u16());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = json!({ "error": "invalid_request", "error_description": description });
    answer(status, &body)
}

fn failed(error: &LoginError) -> HttpResponse {
    if matches!(error, LoginError::Stale) {
        return refused("log in again");
    }
    login_failed(error);
    unavailable("no login at the moment")
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "up" }))
}

async fn readyz(routes: Data<Routes>) -> HttpResponse {
    match routes.sessions().guard().ready().await {
        Ok(()) => answer(StatusCode::OK, &json!({ "status": "ready" })),
        Err(error) => {
            not_ready(&error);
            unavailable("store unavailable")
        }
    }
}

fn refused(description: &str) -> HttpResponse {
    let body = json!({ "error": "invalid_grant", "error_description": description });
    answer(StatusCode::UNAUTHORIZED, &body)
}

fn unavailable(description: &str) -> HttpResponse {
    let body = json!({ "error": "temporarily_unavailable", "error_description": description });
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &body);
    let later = header::HeaderValue::from_static("1");
    response.headers_mut().insert(header::RETRY_AFTER, later);
    response
}

pub(crate) fn answer(status: StatusCode, body: &Value) -> HttpResponse {
    // Tokens must not be kept by caches (RFC 6749 §5.1).
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}
