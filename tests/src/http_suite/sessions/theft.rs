//! Reuse: rows S4, S7, S8.

use std::time::Duration;

use jwt_revoke_core::session::ReuseScope;

use super::{SessionServer, Stand, Tokens, assert_done, assert_refused};

struct Story {
    server: SessionServer,
    /// Every pair of the session whose token was stolen, the oldest first.
    phone: Vec<Tokens>,
    laptop: Tokens,
    bob: Tokens,
}

/// Alice has a phone and a laptop; the phone has refreshed three times; there is Bob.
async fn story(stand: &Stand, reuse: ReuseScope) -> Story {
    let server = stand
        .server_with(|s| s.with_grace(Duration::ZERO).with_reuse(reuse))
        .await;
    let (laptop, bob) = (server.login("alice").await, server.login("bob").await);
    let mut phone = vec![server.login("alice").await];
    for generation in 0..3 {
        phone.push(server.refreshed(&phone[generation]).await);
    }
    for tokens in &phone {
        assert!(server.opens(&tokens.access).await);
    }
    Story {
        server,
        phone,
        laptop,
        bob,
    }
}

pub async fn s4_a_spent_token_that_comes_back_ends_everything_of_the_user(stand: &Stand) {
    let Story {
        server,
        phone,
        laptop,
        bob,
    } = story(stand, ReuseScope::User).await;
    // The thief is told what everybody is told.
    assert_refused(&server.refresh(&phone[2].refresh).await);
    for tokens in phone.iter().chain([&laptop]) {
        server.assert_dead(tokens).await;
    }
    server.assert_alive(&bob).await;
    assert!(server.reuse_was_detected());
}

pub async fn s4_an_ancestor_that_comes_back_ends_everything_too(stand: &Stand) {
    let Story {
        server,
        phone,
        laptop,
        bob,
    } = story(stand, ReuseScope::User).await;
    let mut newest = phone[3].clone();
    for _ in 0..8 {
        newest = server.refreshed(&newest).await; // Beyond what a record remembers.
    }
    assert_refused(&server.refresh(&phone[0].refresh).await);
    for tokens in phone.iter().chain([&newest, &laptop]) {
        server.assert_dead(tokens).await;
    }
    server.assert_alive(&bob).await;
}

pub async fn s4_with_scope_session_other_devices_live(stand: &Stand) {
    let Story {
        server,
        phone,
        laptop,
        bob,
    } = story(stand, ReuseScope::Session).await;
    assert_refused(&server.refresh(&phone[2].refresh).await);
    for tokens in &phone {
        server.assert_dead(tokens).await;
    }
    server.assert_alive(&laptop).await;
    server.assert_alive(&bob).await;
}

pub async fn s7_a_spent_token_replayed_after_a_new_login_ends_nothing(stand: &Stand) {
    let Story {
        server,
        phone,
        laptop,
        ..
    } = story(stand, ReuseScope::User).await;
    // The laptop's session is still on record when the theft of the phone's token ends it.
    server.refreshed(&laptop).await;
    assert_refused(&server.refresh(&phone[2].refresh).await);
    let mut anew = server.login("alice").await;
    for tokens in phone.iter().chain([&laptop]) {
        assert_refused(&server.refresh(&tokens.refresh).await);
        anew = server.assert_alive(&anew).await;
    }
    assert_eq!(server.list(&anew.access).await.len(), 1);
}

pub async fn s8_a_logged_out_token_that_is_retried_ends_nothing(stand: &Stand) {
    let Story {
        server,
        phone,
        mut laptop,
        ..
    } = story(stand, ReuseScope::User).await;
    assert_done(&server.logout(None, Some(&phone[3].refresh)).await);
    for tokens in phone.iter().rev() {
        server.assert_dead(tokens).await;
        laptop = server.assert_alive(&laptop).await;
    }
    assert!(!server.reuse_was_detected());
}
