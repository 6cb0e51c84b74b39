//! The OAuth endpoints, and the document by which clients find them.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
    routing::{get, post},
};
use jwt_revoke_core::{
    defaults,
    wire::{
        Reply,
        oauth::{Endpoint, FormRequest, Metadata, OAuth},
    },
};

use super::{companion::fields, task::OwnTask};
use crate::response as http_response;

/// The OAuth routes, for clients that know nothing of this crate:
///
/// | route | is | answers |
/// | --- | --- | --- |
/// | `POST /token` | RFC 6749 §6, `grant_type=refresh_token` | 200 and the next pair; 503: the old token still works |
/// | `POST /revoke` | RFC 7009 | 200, also for unknown tokens; 503: it may still work, try again |
/// | `POST /introspect` | RFC 7662, for confidential clients | 200 and `active` |
/// | `GET /jwks.json` | RFC 7517 §5 | the public keys |
///
/// The first three take `application/x-www-form-urlencoded`; errors are those of RFC 6749 §5.2. They
/// authenticate their callers themselves: mount them *after* the layer.
/// [`OAuth::without`] leaves one out.
///
/// ```
/// # use axum::Router;
/// # use jwt_revoke_core::session::Sessions;
/// use jwt_revoke_core::wire::oauth::{Client, Clients, OAuth};
/// use tower_jwt_revoke::{oauth_routes, well_known};
///
/// # fn example(sessions: Sessions, secret: &str) -> Result<Router, Box<dyn std::error::Error>> {
/// let clients = Clients::default().with(Client::confidential("api", secret)?)?;
/// let oauth = OAuth::new(sessions).with_clients(clients);
/// let app = Router::new()
///     .merge(well_known(oauth.metadata("/auth")?))
///     .nest("/auth", oauth_routes(oauth));
/// # Ok(app)
/// # }
/// ```
pub fn oauth_routes<S: Clone + Send + Sync + 'static>(oauth: OAuth) -> Router<S> {
    let mut router = Router::new();
    for endpoint in oauth.endpoints() {
        let handler = move |State(oauth), request| answer(oauth, endpoint, request);
        let handler = match endpoint.method() {
            "GET" => get(handler),
            _ => post(handler),
        };
        router = router.route(endpoint.path(), handler.route_layer(OwnTask));
    }
    router.with_state(oauth)
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414): a router of its own, to be merged at the
/// root of the issuer's host whatever prefix the endpoints have. See [`oauth_routes`].
pub fn well_known<S: Clone + Send + Sync + 'static>(metadata: Metadata) -> Router<S> {
    let path = metadata.path().to_owned();
    Router::new()
        .route(&path, get(document))
        .with_state(metadata)
}

async fn answer(oauth: OAuth, endpoint: Endpoint, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    response(match to_bytes(body, defaults::MAX_FORM_BYTES).await {
        Ok(body) => {
            let form = FormRequest::of(fields(&parts.headers), &body);
            oauth.answer(endpoint, &form).await
        }
        // It is too long, or broke off: then nobody reads the answer.
        Err(_) => OAuth::too_large(),
    })
}

async fn document(State(metadata): State<Metadata>) -> Response {
    response(metadata.reply())
}

fn response(reply: Reply) -> Response {
    http_response::response(reply).map(Body::from)
}
