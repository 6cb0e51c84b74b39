//! The OAuth endpoints, and the document by which clients find them.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
    routing::{get, post},
};
use http::header;
use jwt_revoke_core::{
    defaults,
    wire::{
        Reply,
        oauth::{Endpoint, FormRequest, Metadata, OAuth},
    },
};

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
        let handler = match endpoint {
            Endpoint::Token => post(token),
            Endpoint::Revoke => post(revoke),
            Endpoint::Introspect => post(introspect),
            Endpoint::Jwks => get(jwks),
            _ => continue,
        };
        router = router.route(endpoint.path(), handler);
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

async fn token(State(oauth): State<OAuth>, request: Request) -> Response {
    let request = Received::read(request).await;
    response(match &request {
        Some(request) => oauth.token(&request.form()).await,
        None => OAuth::too_large(),
    })
}

async fn revoke(State(oauth): State<OAuth>, request: Request) -> Response {
    let request = Received::read(request).await;
    response(match &request {
        Some(request) => oauth.revoke(&request.form()).await,
        None => OAuth::too_large(),
    })
}

async fn introspect(State(oauth): State<OAuth>, request: Request) -> Response {
    let request = Received::read(request).await;
    response(match &request {
        Some(request) => oauth.introspect(&request.form()).await,
        None => OAuth::too_large(),
    })
}

async fn jwks(State(oauth): State<OAuth>) -> Response {
    response(oauth.jwks())
}

async fn document(State(metadata): State<Metadata>) -> Response {
    response(metadata.reply())
}

/// A request, read to its end.
struct Received {
    headers: http::HeaderMap,
    body: bytes::Bytes,
}

impl Received {
    /// `None` if the body is too long, or broke off: then nobody reads the answer.
    async fn read(request: Request) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, defaults::MAX_FORM_BYTES).await.ok()?;
        Some(Self {
            headers: parts.headers,
            body,
        })
    }

    fn form(&self) -> FormRequest<'_> {
        let values = self.headers.get_all(header::AUTHORIZATION);
        let content_type = self.headers.get(header::CONTENT_TYPE);
        FormRequest::new(&self.body)
            .with_authorization(values.iter().map(|value| value.as_bytes()))
            .with_content_type(content_type.map(|value| value.as_bytes()))
    }
}

fn response(reply: Reply) -> Response {
    http_response::response(reply).map(Body::from)
}
