//! What the layer adds to a route, for axum and actix-web: the bare route and the guarded one in turns, in
//! the same run, in process (no sockets).
//!
//! ```sh
//! cargo run --release -p jwt-revoke-benches --bin middleware
//! ```
//!
//! *Warm*: the token is in the cache of verified tokens. *Cold*: the guard keeps none, so each request
//! verifies a signature. Both requests bear the token; the bare route does not look.

use std::hint::black_box;

use actix_web::{App, dev::Service as _, http::StatusCode, rt::System, test, web};
use axum::{Router, body::Body, extract::Request, routing::get};
use futures::FutureExt as _;
use jwt_revoke_benches::{cold_guard, compare, guard_over, store_with};
use jwt_revoke_core::{Guard, verify::Algorithm};
use tower_service::Service as _;

const ENTRIES: usize = 100_000;

fn main() {
    println!("a guarded route / the bare route, embedded store with {ENTRIES} entries");
    for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::EdDSA] {
        let (warm, _, warm_token) = guard_over(algorithm, store_with(ENTRIES));
        let (cold, _, cold_token) = cold_guard(algorithm, store_with(ENTRIES));
        for (state, guard, token) in [("warm", warm, warm_token), ("cold", cold, cold_token)] {
            let name = algorithm.to_string();
            println!("  axum   {name:<6} {state}  {}", axum(&guard, &token));
            println!("  actix  {name:<6} {state}  {}", actix(guard, &token));
        }
    }
}

fn axum(guard: &Guard, token: &str) -> String {
    let bare = || Router::new().route("/", get(async || "ok"));
    let layer = tower_jwt_revoke::RevocationLayer::new(guard.clone());
    let (mut guarded, mut bare) = (bare().route_layer(layer), bare());
    let ask = |app: &mut Router, bearer: &str| {
        let request = Request::get("/").header("authorization", bearer);
        let request = request.body(Body::empty()).expect("a request");
        let response = app.call(request).now_or_never().expect(AT_ONCE);
        response.expect("infallible").status()
    };
    let good = format!("Bearer {token}");
    assert_eq!(ask(&mut guarded, &good), 200);
    assert_eq!(ask(&mut guarded, "Bearer a.b.c"), 401);
    compare(
        || _ = black_box(ask(&mut bare, &good)),
        || _ = black_box(ask(&mut guarded, &good)),
    )
}

fn actix(guard: Guard, token: &str) -> String {
    System::new().block_on(async {
        let ok = || web::get().to(async || "ok");
        let layer = actix_jwt_revoke::RevocationLayer::new(guard);
        let guarded = App::new().service(web::resource("/").route(ok().wrap(layer)));
        let guarded = test::init_service(guarded).await;
        let bare = App::new().service(web::resource("/").route(ok()));
        let bare = test::init_service(bare).await;
        let request = |bearer: &str| {
            let request = test::TestRequest::get().uri("/");
            request
                .insert_header(("authorization", bearer))
                .to_request()
        };
        let good = format!("Bearer {token}");
        let status = async |bearer: &str| {
            let response = guarded.call(request(bearer)).await;
            response.expect("a refusal is a response").status()
        };
        assert_eq!(status(&good).await, StatusCode::OK);
        assert_eq!(status("Bearer a.b.c").await, StatusCode::UNAUTHORIZED);
        compare(
            || _ = black_box(bare.call(request(&good)).now_or_never().expect(AT_ONCE)),
            || _ = black_box(guarded.call(request(&good)).now_or_never().expect(AT_ONCE)),
        )
    })
}

const AT_ONCE: &str = "the embedded store answers at once";
