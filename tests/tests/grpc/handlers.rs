//! What handlers learn of who calls, and answer when it is nobody.

use example_tonic::proto::{AuditRequest, MeRequest, account_server::AccountServer};
use jwt_revoke_core::{
    Denied,
    guard::NoClaims,
    session::Grant,
    wire::{GrpcCode, Refusal},
};
use jwt_revoke_tests::http_suite::{Fixture, Tenant, teapot};
use tonic::{Code, Request, Status, transport::Server};
use tower_jwt_revoke::{AccessExt as _, RevocationLayer};

use crate::{Probe, behind, client_of, layer, subject, with, with_text};

fn tenant(request: &Request<MeRequest>) -> Result<String, Status> {
    Ok(request.user::<Tenant>()?.claims.tenant.clone())
}

fn maybe_user(request: &Request<MeRequest>) -> Result<String, Status> {
    let user = request.maybe_user::<NoClaims>()?;
    Ok(user.map_or("nobody".to_owned(), |user| {
        user.subject().unwrap().to_string()
    }))
}

#[tokio::test]
async fn claims_are_the_applications_and_unauthenticated_when_they_do_not_fit() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let claims = serde_json::json!({ "tenant": "acme" });
    let grant = Grant::new().with_claims(&claims).unwrap();
    let bob = fixture.login_with("bob", &grant).await;
    let mut client = behind(layer(&fixture.guard), &Probe::new(tenant)).await;
    let reply = client.me(with(&bob, MeRequest {})).await.unwrap();
    assert_eq!(reply.into_inner().sub, "acme");
    let status = client.me(with(&alice, MeRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn optional_lets_a_call_without_a_token_through_and_none_with_a_bad_one() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let optional = layer(&fixture.guard).optional();
    let mut client = behind(optional, &Probe::new(maybe_user)).await;
    let nobody = client.me(MeRequest {}).await.unwrap().into_inner();
    assert_eq!(nobody.sub, "nobody");
    let reply = client.me(with(&alice, MeRequest {})).await.unwrap();
    assert_eq!(reply.into_inner().sub, "alice");
    let status = client.me(with_text("a.b.c", MeRequest {})).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_handler_that_needs_a_user_refuses_nobody() {
    let fixture = Fixture::new();
    let optional = layer(&fixture.guard).optional();
    let mut client = behind(optional, &Probe::new(subject)).await;
    let status = client.me(MeRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = client.audit(AuditRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn without_a_layer_handlers_are_internal_errors() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    for me in [subject, tenant, maybe_user] {
        let service = AccountServer::new(Probe::new(me));
        let mut client = client_of(Server::builder().add_service(service)).await;
        let status = client.me(with(&alice, MeRequest {})).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        let status = client.audit(with(&alice, AuditRequest {})).await;
        assert_eq!(status.unwrap_err().code(), Code::Internal);
    }
}

/// Words of the application's own, with details that are not what they claim to be.
fn own(denied: &Denied) -> Refusal {
    Refusal::new(200)
        .with_header("content-type", "application/grpc")
        .with_header("grpc-status", &GrpcCode::of(denied).number().to_string())
        .with_header("grpc-message", "who%20are you?")
        .with_header("x-own", "1")
        .with_header("grpc-status-details-bin", "%%")
}

#[tokio::test]
async fn a_handler_refuses_in_the_words_of_its_layer() {
    let fixture = Fixture::new();
    let layer = RevocationLayer::new(fixture.guard.clone()).with_render(own);
    let mut client = behind(layer.optional(), &Probe::new(subject)).await;
    let status = client.me(MeRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "who are you?");
    assert_eq!(status.metadata().get("x-own").unwrap(), "1");
}

#[tokio::test]
async fn a_handler_refuses_in_grpc_even_if_its_layer_does_not() {
    let fixture = Fixture::new();
    let layer = RevocationLayer::new(fixture.guard.clone()).with_render(teapot);
    let mut client = behind(layer.optional(), &Probe::new(subject)).await;
    let status = client.me(MeRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "this resource needs an access token");
    assert!(status.metadata().get("x-code").is_none());
}
