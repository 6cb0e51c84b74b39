//! HTTP/2, in which requests have an authority and need no `Host`.

#![allow(clippy::unwrap_used, reason = "this is test code")]

#[path = "session_server/axum.rs"]
mod axum;

use std::sync::Arc;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jwt_revoke_core::{
    Guard, Issuer,
    session::{Grant, Sessions},
    store::EmbeddedStore,
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::http_suite::sessions::SessionFixture;
use tokio::{net::TcpStream, sync::Semaphore};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s52_over_http_2_the_origin_is_compared_with_the_authority() {
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let issuer = Issuer::new(key, "https://auth.example.com", "api");
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    let fixture = SessionFixture {
        sessions: Sessions::new(&guard, issuer),
        password_checks: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        begun: Arc::new(Semaphore::new(0)),
        passwords: Arc::default(),
    };
    let server = axum::serve(fixture.clone()).await;
    let attempt = fixture.sessions.begin().await.unwrap();
    let grant = Grant::new();
    let pair = fixture.sessions.login(attempt, "alice", &grant);
    let pair = pair.await.unwrap();
    let cookie = format!("__Host-access={}", pair.access_token());

    let stream = TcpStream::connect(server.address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    for (path, done) in [
        ("/cookies/auth/logout-others", StatusCode::NO_CONTENT),
        ("/cookies/me", StatusCode::OK),
    ] {
        for (origin, status) in [
            ("https://auth.example.com", done),
            ("http://auth.example.com", done),
            ("https://app.example.com", done),
            ("https://evil.example", StatusCode::FORBIDDEN),
            ("null", StatusCode::FORBIDDEN),
        ] {
            let request = Request::post(format!("http://auth.example.com{path}"))
                .header("cookie", &cookie)
                .header("origin", origin)
                .body(Empty::<bytes::Bytes>::new())
                .unwrap();
            let response = client.send_request(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            assert_eq!(head.status, status, "{path} {origin}: {body:?}");
        }
    }
    drop(client);
    connection.await.unwrap().unwrap();
    drop(server);
}
