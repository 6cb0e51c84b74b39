//! The smallest service whose JWTs can be taken back: login, a protected route, refresh, logout and
//! the list of devices, on the embedded store. The readme shows this program.
//!
//! ```sh
//! cargo run -p example-minimal
//!
//! PAIR=$(curl -s http://127.0.0.1:3000/login -H content-type:application/json -d '["alice", "wonderland"]')
//! ```

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use jwt_revoke_core::{
    Guard, Issuer,
    session::{Grant, Sessions},
    store::AnyStore,
    verify::{Algorithm, SigningKey},
};
use tower_jwt_revoke::{AuthUser, RevocationLayer, Routes};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = SigningKey::generate(Algorithm::EdDSA)?; // keep yours, by `to_key_file`
    let issuer = Issuer::new(key, "https://auth.example.com", "api");
    let guard = Guard::new(
        issuer.verifier(),
        AnyStore::connect("file:revocations").await?,
    );
    let routes = Routes::new(&Sessions::new(&guard, issuer));
    let app = Router::new()
        .route("/me", get(me))
        .route_layer(RevocationLayer::new(guard)) // in front of what is protected
        .route("/login", post(login))
        .nest("/auth", routes.clone().into_router()) // refresh, logout, sessions ..
        .with_state(routes);
    let address = std::env::var("JWT_REVOKE_ADDR").unwrap_or("127.0.0.1:3000".into());
    Ok(axum::serve(tokio::net::TcpListener::bind(address).await?, app).await?)
}

async fn me(user: AuthUser) -> String {
    user.subject()
        .map(|name| format!("hello {name}\n"))
        .unwrap_or_default()
}

type Credentials = Json<(String, String)>;
async fn login(
    State(routes): State<Routes>,
    Json((name, password)): Credentials,
) -> Result<Response, StatusCode> {
    let attempt = routes
        .sessions()
        .begin()
        .await
        .or(Err(StatusCode::SERVICE_UNAVAILABLE))?; // before the check
    if (&*name, &*password) != ("alice", "wonderland") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let pair = routes.sessions().login(attempt, name, &Grant::new()).await;
    Ok(routes.signed_in(&pair.or(Err(StatusCode::SERVICE_UNAVAILABLE))?))
}
