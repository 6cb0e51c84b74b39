//! The OAuth endpoints, and the document by which clients find them.

use std::rc::Rc;

use actix_web::{HttpRequest, Resource, dev::HttpServiceFactory, web};
use jwt_revoke_core::{
    defaults,
    wire::{
        Reply,
        oauth::{Endpoint, FormRequest, Metadata, OAuth},
    },
};

use super::{companion::fields, resource};
use crate::response::response;

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
/// authenticate their callers themselves: mount them where no layer is around.
/// [`OAuth::without`] leaves one out.
///
/// ```
/// # use actix_web::{App, web};
/// # use actix_jwt_revoke::{oauth_routes, well_known};
/// # use jwt_revoke_core::session::Sessions;
/// use jwt_revoke_core::wire::oauth::{Client, Clients, OAuth};
///
/// # fn example(sessions: Sessions, secret: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let clients = Clients::default().with(Client::confidential("api", secret)?)?;
/// let oauth = OAuth::new(sessions).with_clients(clients);
/// let app = App::new()
///     .service(well_known(oauth.metadata("/auth")?))
///     .service(web::scope("/auth").service(oauth_routes(oauth)));
/// # Ok(())
/// # }
/// ```
pub fn oauth_routes(oauth: OAuth) -> impl HttpServiceFactory + 'static {
    let oauth = Rc::new(oauth);
    let mount = |endpoint: Endpoint| {
        let oauth = Rc::clone(&oauth);
        let handler = move |request: HttpRequest, payload: web::Payload| {
            let oauth = Rc::clone(&oauth);
            async move { response(answer(&oauth, endpoint, &request, payload).await) }
        };
        resource(endpoint.path(), endpoint.method(), web::to(handler))
    };
    oauth.endpoints().map(mount).collect::<Vec<Resource>>()
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414): a service of its own, to be mounted at the
/// root of the issuer's host whatever prefix the endpoints have. See [`oauth_routes`].
pub fn well_known(metadata: Metadata) -> Resource {
    let path = metadata.path().to_owned();
    let document = move || {
        let document = response(metadata.reply());
        async move { document }
    };
    resource(&path, "GET", web::to(document))
}

async fn answer(
    oauth: &OAuth,
    endpoint: Endpoint,
    request: &HttpRequest,
    payload: web::Payload,
) -> Reply {
    match payload.to_bytes_limited(defaults::MAX_FORM_BYTES).await {
        Ok(Ok(body)) => {
            let form = FormRequest::of(fields(request.headers()), &body);
            oauth.answer(endpoint, &form).await
        }
        // It is too long, or broke off: then nobody reads the answer.
        _ => OAuth::too_large(),
    }
}
