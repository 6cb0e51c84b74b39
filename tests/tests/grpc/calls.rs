//! What becomes of a call, by its token.

use std::sync::Arc;

use example_tonic::proto::{AuditRequest, MeRequest, account_server::AccountServer};
use jwt_revoke_core::{
    Clock as _, FakeClock, Guard, SystemClock, defaults,
    guard::{Outage, Target},
    session::Grant,
};
use jwt_revoke_tests::{controlled_store::Mood, http_suite::Fixture};
use tonic::{Code, Request, Status, transport::Server};
use tower_jwt_revoke::RequireScopeLayer;
use tower_layer::Layer as _;

use crate::{
    Probe, behind, client, client_of, guarded, layer, port, scope, subject, with, with_text,
};

#[track_caller]
fn assert_refused(status: &Status, code: Code, message: &str) {
    assert_eq!((status.code(), status.message()), (code, message));
}

const INVALID: &str = "the access token is invalid, expired or revoked";

#[tokio::test]
async fn a_good_token_brings_its_access_to_the_handler() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let mut client = guarded(&fixture).await;
    let reply = client.me(with(&alice, MeRequest {})).await.unwrap();
    assert_eq!(reply.into_inner().sub, "alice");
}

#[tokio::test]
async fn a_call_without_a_token_is_unauthenticated() {
    let fixture = Fixture::new();
    let mut client = guarded(&fixture).await;
    let status = client.me(MeRequest {}).await.unwrap_err();
    let message = "this resource needs an access token";
    assert_refused(&status, Code::Unauthenticated, message);
}

#[tokio::test]
async fn t9_a_malformed_call_is_an_invalid_argument() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let mut client = guarded(&fixture).await;
    let message = "the request is malformed";
    let spaced = client.me(with_text("a b", MeRequest {})).await;
    assert_refused(&spaced.unwrap_err(), Code::InvalidArgument, message);

    let mut twice = with(&alice, MeRequest {});
    let again = twice.metadata().get("authorization").unwrap().clone();
    twice.metadata_mut().append("authorization", again);
    let twice = client.me(twice).await;
    assert_refused(&twice.unwrap_err(), Code::InvalidArgument, message);
}

#[tokio::test]
async fn a_forged_token_is_unauthenticated() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let mut client = guarded(&fixture).await;
    let (signed, _) = alice.token().rsplit_once('.').unwrap();
    for forged in ["a.b.c".to_owned(), format!("{signed}.{}", "A".repeat(86))] {
        let status = client.me(with_text(&forged, MeRequest {})).await;
        assert_refused(&status.unwrap_err(), Code::Unauthenticated, INVALID);
    }
}

#[tokio::test]
async fn i1_a_revoked_token_is_unauthenticated_and_never_reaches_the_handler() {
    let fixture = Fixture::new();
    let [alice, bob] = [fixture.login("alice").await, fixture.login("bob").await];
    let probe = Probe::new(subject);
    let mut client = behind(layer(&fixture.guard), &probe).await;
    client.me(with(&alice, MeRequest {})).await.unwrap();

    let target = Target::session(alice.session().as_str()).of("alice");
    fixture.guard.revoke(target).await.unwrap();
    let status = client.me(with(&alice, MeRequest {})).await.unwrap_err();
    assert_refused(&status, Code::Unauthenticated, INVALID);
    assert_eq!(probe.calls(), 1);
    client.me(with(&bob, MeRequest {})).await.unwrap();
}

#[tokio::test]
async fn an_expired_token_is_unauthenticated() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let clock = Arc::new(FakeClock::new(SystemClock::new().now()));
    let verifier = fixture.issuer.verifier().with_clock(clock.clone());
    let guard = Guard::new(verifier, fixture.store.clone());
    let mut client = behind(layer(&guard), &Probe::new(subject)).await;
    client.me(with(&alice, MeRequest {})).await.unwrap();

    clock.advance(defaults::ACCESS_LIFETIME);
    let status = client.me(with(&alice, MeRequest {})).await.unwrap_err();
    assert_refused(&status, Code::Unauthenticated, INVALID);
}

#[tokio::test]
async fn a_missing_scope_is_permission_denied_at_layer_scope_layer_and_handler() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let grant = Grant::new().with_scope(scope("audit read"));
    let auditor = fixture.login_with("bob", &grant).await;

    let in_the_layer = layer(&fixture.guard).require_scope(scope("audit"));
    let in_the_layer = behind(in_the_layer, &Probe::new(subject)).await;
    let own_layer = layer(&fixture.guard).layer(
        RequireScopeLayer::new(scope("audit")).layer(AccountServer::new(Probe::new(subject))),
    );
    let own_layer = client_of(Server::builder().add_service(own_layer)).await;
    let in_the_handler = guarded(&fixture).await;
    for mut client in [in_the_layer, own_layer, in_the_handler] {
        let status = client.audit(with(&alice, AuditRequest {})).await;
        let message = "the access token lacks a scope that is needed here: audit";
        assert_refused(&status.unwrap_err(), Code::PermissionDenied, message);
        client.audit(with(&auditor, AuditRequest {})).await.unwrap();
    }
}

#[tokio::test]
async fn r1_a_store_that_does_not_answer_is_unavailable_and_says_when_to_try_again() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let mut client = guarded(&fixture).await;
    fixture.store.set(Mood::Fails);
    let status = client.me(with(&alice, MeRequest {})).await.unwrap_err();
    let message = "try again shortly; the access token may still be good";
    assert_refused(&status, Code::Unavailable, message);
    assert_eq!(
        status.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "1000"
    );

    fixture.store.set(Mood::Answers);
    client.me(with(&alice, MeRequest {})).await.unwrap();
}

#[tokio::test]
async fn an_outage_policy_of_allow_lets_good_tokens_through_and_no_forged_ones() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let guard = fixture.guard.with_outage(Outage::Allow);
    let mut client = behind(layer(&guard), &Probe::new(subject)).await;
    fixture.store.set(Mood::Fails);
    client.me(with(&alice, MeRequest {})).await.unwrap();
    let forged = client.me(with_text("a.b.c", MeRequest {})).await;
    assert_refused(&forged.unwrap_err(), Code::Unauthenticated, INVALID);
}

#[tokio::test]
async fn a_call_that_its_client_gives_up_leaves_nothing_waiting() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let mut client = guarded(&fixture).await;
    fixture.store.set(Mood::Hangs);
    let call = tokio::spawn(async move { client.me(with(&alice, MeRequest {})).await });
    fixture.store.until_waiting(1).await;
    call.abort();
    fixture.store.until_waiting(0).await;
}

#[tokio::test]
async fn a_layer_of_the_server_guards_every_service() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let router = Server::builder()
        .layer(layer(&fixture.guard))
        .add_service(AccountServer::new(Probe::new(subject)));
    let (incoming, endpoint) = port().await;
    tokio::spawn(router.serve_with_incoming(incoming));
    let mut client = client(endpoint).await;
    client.me(with(&alice, MeRequest {})).await.unwrap();
    let status = client.me(Request::new(MeRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}
