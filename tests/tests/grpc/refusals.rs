//! Refusals, byte for byte.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};
use jwt_revoke_tests::{controlled_store::Mood, http_suite::Fixture};
use tower::{ServiceExt as _, service_fn};
use tower_layer::Layer as _;

use crate::layer;

#[tokio::test]
async fn a_refusal_is_headers_alone() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    fixture.store.set(Mood::Fails);
    let empty = service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
    let service = layer(&fixture.guard).layer(empty);
    let request = Request::post("/example.v1.Account/Me")
        .header("content-type", "application/grpc+proto")
        .header("authorization", format!("Bearer {}", alice.token()))
        .body(())
        .unwrap();
    let response = service.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    assert_eq!(parts.status, 200);
    let headers = parts.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(
        headers,
        [
            ("content-type", "application/grpc"),
            ("grpc-status", "14"),
            (
                "grpc-message",
                "try again shortly; the access token may still be good"
            ),
            ("grpc-retry-pushback-ms", "1000"),
        ]
    );
    // So that the headers end the stream: what stands in them are the trailers.
    assert!(body.is_end_stream());
    let collected = body.collect().await.unwrap();
    assert!(collected.trailers().is_none());
    assert!(collected.to_bytes().is_empty());
}
