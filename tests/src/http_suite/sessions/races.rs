//! Races with log out everywhere, and many at once: rows S5, S6, S10, S11, S18.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;

use super::{Stand, Tokens, assert_done, assert_refused};

pub async fn s5_no_rotation_survives_a_nuclear_revoke(stand: &Stand) {
    let server = stand.server_with(|s| s.with_grace(Duration::ZERO)).await;
    let server = &server;
    // Eight at a time, each with users of its own.
    let rounds = |lane: usize| async move {
        for round in 0..stand.rounds(1000, 1000) / 8 {
            let user = format!("user-{lane}-{round}");
            let (a, b) = tokio::join!(server.login(&user), server.login(&user));
            let nuke = async {
                if round % 2 == 0 {
                    assert_done(&server.post("logout-all", &b.access).await);
                } else {
                    // By theft: `b` is spent, and comes back.
                    Tokens::of(&server.refresh(&b.refresh).await);
                    assert_refused(&server.refresh(&b.refresh).await);
                }
            };
            let (rotated, ()) = tokio::join!(server.refresh(&a.refresh), nuke);
            assert!(!server.opens(&a.access).await, "{user}: a survivor");
            match rotated.status {
                200 => server.assert_dead(&Tokens::of(&rotated)).await,
                _ => assert_refused(&rotated),
            }
            assert!(!server.opens(&b.access).await, "{user}: a survivor");
        }
    };
    join_all((0..8).map(rounds)).await;
}

pub async fn s6_a_login_racing_a_nuclear_revoke_is_dead_or_whole(stand: &Stand) {
    let server = stand.server().await;
    let server = &server;
    let rounds = |lane: usize| async move {
        for round in 0..stand.rounds(1000, 1000) / 8 {
            let user = format!("user-{lane}-{round}");
            let base = server.login(&user).await;
            let nuke = server.post("logout-all", &base.access);
            let (login, nuked) = tokio::join!(server.try_login(&user), nuke);
            assert_done(&nuked);
            assert!(!server.opens(&base.access).await);
            if login.status != 200 {
                assert_eq!(login.status, 409, "{login:?}");
                continue;
            }
            let tokens = Tokens::of(&login);
            if server.opens(&tokens.access).await {
                let tokens = server.assert_alive(&tokens).await;
                assert_eq!(server.list(&tokens.access).await.len(), 1, "half a login");
            } else {
                server.assert_dead(&tokens).await;
            }
        }
    };
    join_all((0..8).map(rounds)).await;
}

pub async fn s10_a_logout_beats_a_racing_refresh(stand: &Stand) {
    let server = stand.server().await;
    for round in 0..stand.rounds(200, 50) {
        let user = format!("user-{round}");
        let held = server.login(&user).await;
        let (refreshed, logged_out) = tokio::join!(
            server.refresh(&held.refresh),
            server.logout(None, Some(&held.refresh)),
        );
        assert_done(&logged_out);
        server.assert_dead(&held).await;
        match refreshed.status {
            200 => server.assert_dead(&Tokens::of(&refreshed)).await,
            _ => assert_refused(&refreshed),
        }
    }
}

pub async fn s10_logout_with_a_spent_token_ends_the_session(stand: &Stand) {
    let server = stand.server_with(|s| s.with_grace(Duration::ZERO)).await;
    let first = server.login("alice").await;
    let laptop = server.login("alice").await;
    let second = server.refreshed(&first).await;
    let third = server.refreshed(&second).await;
    assert_done(&server.logout(None, Some(&first.refresh)).await);
    for tokens in [&first, &second, &third] {
        server.assert_dead(tokens).await;
    }
    server.assert_alive(&laptop).await;
    assert!(!server.reuse_was_detected());
}

pub async fn s11_concurrent_logins_and_devices_are_all_kept(stand: &Stand) {
    let server = Arc::new(stand.server().await);
    let logins = (0..20).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.login("alice").await })
    });
    let logins = join_all(logins).await;
    let mut held: Vec<Tokens> = logins.into_iter().map(Result::unwrap).collect();
    assert_eq!(server.list(&held[0].access).await.len(), 20);
    for _ in 0..10 {
        let refreshes = held[..8].iter().cloned().map(|tokens| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { server.refreshed(&tokens).await })
        });
        let refreshed = join_all(refreshes).await;
        for (held, refreshed) in held.iter_mut().zip(refreshed) {
            *held = refreshed.unwrap();
        }
    }
    for tokens in &held {
        server.assert_alive(tokens).await;
    }
    assert_eq!(server.list(&held[0].access).await.len(), 20);
    assert!(!server.reuse_was_detected());
}

pub async fn s18_a_login_with_the_old_password_is_refused(stand: &Stand) {
    let server = stand.server().await;
    let checks = &server.fixture.password_checks;
    // One login has begun and is looking at the old password, while the new one is being set.
    checks.forget_permits(checks.available_permits());
    let (login, ()) = tokio::join!(server.try_login("alice"), async {
        server.fixture.begun.acquire().await.unwrap().forget();
        server.sessions.revoke_all("alice").await.unwrap();
        checks.add_permits(1);
    });
    assert_eq!(login.status, 409, "{login:?}");
    let anew = server.login("alice").await;
    server.assert_alive(&anew).await;
}

pub async fn s18_a_login_right_after_log_out_everywhere_lives(stand: &Stand) {
    let server = stand.server().await;
    let mut held = server.login("alice").await;
    for _ in 0..stand.rounds(200, 50) {
        server.sessions.revoke_all("alice").await.unwrap();
        let anew = server.login("alice").await;
        assert!(!server.opens(&held.access).await);
        assert!(server.opens(&anew.access).await);
        held = anew;
    }
    server.assert_alive(&held).await;
}
