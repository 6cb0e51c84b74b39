//! A gRPC service whose JWTs can be taken back, and beside it, on the same port, all routes of
//! `examples/axum`: login, refresh, logout and the others are HTTP, as for browsers.
//!
//! ```sh
//! cargo run -p example-tonic --bin server     # the settings are those of examples/axum
//!
//! AT=http://127.0.0.1:3000
//! login()   { curl -s $AT/login -H content-type:application/json -d '{"username":"alice","password":"wonderland"}'; }
//! token()   { printf %s "$2" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
//! call()    { cargo run -q -p example-tonic --bin client -- $AT "$1" "$(token access_token "$2")"; }
//!
//! PHONE=$(login)
//! call me "$PHONE"                            # alice, her session, until when
//! call echo "$PHONE" <README.md               # each line comes back, in a stream
//! call audit "$PHONE"                         # PERMISSION_DENIED: the token lacks the scope `audit`
//! call me '"access_token":"a.b.c"'            # UNAUTHENTICATED
//! curl -s $AT/auth/logout -X POST -H "authorization: Bearer $(token access_token "$PHONE")"
//! call me "$PHONE"                            # UNAUTHENTICATED from now on
//! ```
//!
//! The same with [grpcurl](https://github.com/fullstorydev/grpcurl):
//!
//! ```sh
//! grpcurl -plaintext -import-path examples/tonic/proto -proto account.proto \
//!   -H "authorization: Bearer $(token access_token "$PHONE")" 127.0.0.1:3000 example.v1.Account/Me
//! ```
//!
//! With `JWT_REVOKE_STORE=redis://..` and that Redis stopped, calls end with UNAVAILABLE, and with OK
//! again once it is back.

use std::{error::Error, future::IntoFuture as _, process::ExitCode};

use example_shared::{Settings, Stop, Users, announce, listen, oauth, sessions};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    example_shared::run(serve()).await
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let sessions = sessions(&settings).await?;
    let oauth = oauth(&sessions, &settings)?;
    let stop = Stop::on_signals(settings.drain)?;
    let http = example_axum::app(&sessions, Users::demo()?, stop.clone(), oauth);
    // One port for both: gRPC is HTTP/2, which `axum::serve` speaks beside HTTP/1.1.
    let app = http.merge(example_tonic::grpc(sessions.guard().clone()));

    let listener = TcpListener::from_std(listen(settings.addr)?)?;
    announce(listener.local_addr()?)?;
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.clone().asked());
    Ok(stop.bound(server.into_future()).await?)
}
