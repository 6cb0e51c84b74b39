//! A store that fails, or takes its time.

use jwt_revoke_core::{guard::Target, session::Issued};

use super::{
    Server,
    refusals::{assert_invalid_token, assert_refusal},
};
use crate::{
    controlled_store::Mood,
    logs,
    raw_http::{RawRequest, RawResponse},
};

#[track_caller]
pub(super) fn assert_unavailable(response: &RawResponse) {
    let description = "try again shortly; the access token may still be good";
    assert_refusal(response, 503, "temporarily_unavailable", description, None);
    assert_eq!(response.header("retry-after"), Some("1"));
}

pub async fn an_outage_is_503_with_retry_after(server: &Server) {
    let alice = server.fixture.login("alice").await;
    for at_once in [false, true] {
        server.fixture.store.answer_at_once(at_once);
        server.fixture.store.set(Mood::Fails);
        for path in ["/me", "/optional", "/scope"] {
            assert_unavailable(&server.get(path, alice.token()).await);
        }
        // What is wrong whatever the store says is told at once.
        assert_invalid_token(&server.get("/me", "a.b.c").await);
        server.fixture.store.set(Mood::Answers);
        Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
    }
    let logs = logs::captured();
    let told = |level: &str, words: &str| {
        let told = |line: &&str| line.contains(level) && line.contains(words);
        assert!(logs.lines().any(|line| told(&line)), "{words}: {logs}");
    };
    told(
        "WARN",
        r#"the store fails failures=1 reason="controlled failed: told to fail""#,
    );
    told("INFO", "the store answers again");
    let outage =
        r#"status=503 reason="revocation state is unknown: controlled failed: told to fail""#;
    told("DEBUG", outage);
}

pub async fn an_outage_policy_of_allow_lets_good_tokens_through_and_no_forged_ones(
    server: &Server,
) {
    let alice = server.fixture.login("alice").await;
    server.fixture.store.set(Mood::Fails);
    Server::assert_ok(&server.get("/allow", alice.token()).await, "alice");
    assert_invalid_token(&server.get("/allow", "a.b.c").await);
    server.fixture.store.set(Mood::Answers);
    server
        .fixture
        .guard
        .revoke(Target::subject("alice"))
        .await
        .unwrap();
    assert_invalid_token(&server.get("/allow", alice.token()).await);
}

pub async fn an_inner_layer_that_denies_does_not_trust_an_outer_one_that_allows(server: &Server) {
    let alice = server.fixture.login("alice").await;
    Server::assert_ok(&server.get("/allow/outside", alice.token()).await, "alice");
    server.fixture.store.set(Mood::Fails);
    assert_unavailable(&server.get("/allow/outside", alice.token()).await);
}

pub async fn a_slow_store_delays_a_request_and_no_other(server: &Server) {
    let alice = server.fixture.login("alice").await;
    server.fixture.store.set(Mood::Hangs);
    let slow = server.get("/me", alice.token());
    let others = async {
        server.fixture.store.until_waiting(1).await;
        Server::assert_ok(&server.get_bare("/public").await, "public");
        assert_invalid_token(&server.get("/me", "a.b.c").await);
        server.fixture.store.set(Mood::Answers);
    };
    let (slow, ()) = tokio::join!(slow, others);
    Server::assert_ok(&slow, "alice");
}

pub async fn a_client_that_hangs_up_leaves_nothing_waiting(server: &Server) {
    let alice = hang_up_while_the_store_is_asked(server).await;
    server.fixture.store.until_waiting(0).await;
    server.fixture.store.set(Mood::Answers);
    Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
}

pub async fn a_client_that_hangs_up_leaves_nothing_behind(server: &Server) {
    Server::assert_ok(&server.get_bare("/public").await, "public");
    let handles = server.fixture.store.handles();
    let alice = hang_up_while_the_store_is_asked(server).await;
    server.fixture.store.set(Mood::Answers);
    server.fixture.store.until_waiting(0).await;
    Server::assert_ok(&server.get("/me", alice.token()).await, "alice");
    server.fixture.store.until_handles(handles).await;
}

async fn hang_up_while_the_store_is_asked(server: &Server) -> Issued {
    let alice = server.fixture.login("alice").await;
    server.fixture.store.set(Mood::Hangs);
    let request = RawRequest::get("/me").bearer(alice.token());
    let connection = request.begin(server.address).await;
    server.fixture.store.until_waiting(1).await;
    drop(connection);
    alice
}
