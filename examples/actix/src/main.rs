//! A service whose JWTs can be taken back: login with a password, a protected route, refresh with
//! rotation, logout, logout everywhere, the list of devices, and the same for OAuth clients.
//!
//! ```sh
//! cargo run -p example-actix            # on the embedded store, in ./jwt-revoke-data
//! JWT_REVOKE_STORE=redis://127.0.0.1:6379 cargo run -p example-actix
//!
//! AT=http://127.0.0.1:3000
//! login()   { curl -s $AT/login -H content-type:application/json -d '{"username":"alice","password":"wonderland"}'; }
//! token()   { printf %s "$2" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
//! refresh() { curl -s $AT/auth/refresh -H content-type:application/json -d "{\"refresh_token\":\"$(token refresh_token "$1")\"}"; }
//! status()  { curl -s -o /dev/null -w '%{http_code}\n' -H "authorization: Bearer $(token access_token "$1")" "$AT$2" -X "$3"; }
//! me()      { status "$1" /me GET; }
//!
//! PHONE=$(login); me "$PHONE"                              # 200
//! status "$PHONE" /auth/logout POST; me "$PHONE"           # 204, and 401 from now on
//!
//! PHONE=$(login); PHONE=$(refresh "$PHONE"); me "$PHONE"   # 200; the first refresh token is spent
//!
//! STOLEN=$(login)                                          # a thief copies what Alice has,
//! ALICE=$(refresh "$STOLEN")                               # Alice refreshes, and
//! refresh "$STOLEN"; echo                                  # the thief comes second: invalid_grant
//! refresh "$ALICE"; echo                                   # nobody knows who was the thief: invalid_grant
//! me "$ALICE"; me "$STOLEN"; me "$PHONE"                   # 401 401 401: nothing of Alice is left to use
//!
//! PHONE=$(login); LAPTOP=$(login)                          # Alice logs in again, the thief cannot
//! status "$PHONE" /auth/logout-all POST                    # 204: log out everywhere
//! me "$PHONE"; me "$LAPTOP"; me "$(login)"                 # 401 401, and 200 for a new login
//! ```
//!
//! The theft is for `JWT_REVOKE_GRACE=0`: with the default, a spent token gets its successor again for 30
//! seconds, for answers that were lost and tabs that refresh together.
//!
//! The same by OAuth (RFC 6749 §6, 7009, 7662). A login is the public client `first-party`, as is a request
//! that names no client; the client `api` has a secret, which `JWT_REVOKE_CLIENT_SECRET` replaces. Client
//! libraries find the endpoints by themselves where `JWT_REVOKE_ISSUER` is the address that they reach the
//! program at:
//!
//! ```sh
//! JWT_REVOKE_ISSUER=http://127.0.0.1:3000 cargo run -p example-actix
//!
//! curl -s http://127.0.0.1:3000/.well-known/oauth-authorization-server                 # the endpoints
//! curl -s http://127.0.0.1:3000/auth/jwks.json                                         # the public keys
//! oauth() { curl -s "http://127.0.0.1:3000/auth/$@"; }
//! PAIR=$(oauth token -d grant_type=refresh_token -d refresh_token="$(token refresh_token "$(login)")")
//! ACCESS=$(token access_token "$PAIR")
//! API=api:kT9xQ2mZr7Vb4LwYc6NdHs8PfJg3EuAo
//! oauth introspect -u "$API" -d token="$ACCESS"; echo                                  # "active":true
//! oauth revoke -d token="$(token refresh_token "$PAIR")"                               # the whole session
//! oauth introspect -u "$API" -d token="$ACCESS"; echo                                  # "active":false
//! ```
//!
//! Connections that stay open end with their token. With `websocat` (or any client that can set a header):
//!
//! ```sh
//! PHONE=$(login)
//! websocat -H "authorization: Bearer $(token access_token "$PHONE")" ws://127.0.0.1:3000/ws   # echoes what you type
//! status "$PHONE" /auth/logout POST             # in another terminal: closed, with code 1008
//! ```

mod app;
mod frames;
mod socket;

use std::{error::Error, process::ExitCode};

use actix_web::{App, HttpServer};
use example_shared::{Settings, Stop, Users, announce, listen, oauth, sessions};

#[tokio::main]
async fn main() -> ExitCode {
    example_shared::run(serve()).await
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let sessions = sessions(&settings).await?;
    let oauth = oauth(&sessions, &settings)?;
    let users = Users::demo()?;

    let stop = Stop::on_signals(settings.drain)?;
    let listener = listen(settings.addr)?;
    announce(listener.local_addr()?)?;
    // Each worker has an app of its own; they share the sessions, and with them one guard.
    let told = stop.clone();
    let app =
        move || App::new().configure(|config| app::app(config, &sessions, &users, &told, &oauth));
    let server = HttpServer::new(app)
        .disable_signals()
        .shutdown_timeout(settings.drain.as_secs())
        .listen(listener)?
        .run();
    let handle = server.handle();
    let asked = stop.clone().asked();
    tokio::spawn(async move {
        asked.await;
        handle.stop(true).await;
    });
    Ok(stop.bound(server).await?)
}
