//! Changing a password from a session that goes on.

use jwt_revoke_core::session::{Cause, EventKind};

use super::{
    JSON, PASSWORD, Stand, assert_done, assert_later, changing_password,
    cookies::{Jar, login},
};
use crate::raw_http::RawRequest;

const NEW: &str = "looking-glass";

pub async fn s35_a_changed_password_ends_the_others_and_keeps_this_session(stand: &Stand) {
    let server = stand.server().await;
    let (phone, laptop) = (server.login("alice").await, server.login("alice").await);
    let bob = server.login("bob").await;
    let changed = server.change_password(&laptop.access, PASSWORD, NEW).await;
    assert_done(&changed);
    server.assert_dead(&phone).await;
    let laptop = server.assert_alive(&laptop).await;
    assert_eq!(server.list(&laptop.access).await.len(), 1);
    server.assert_alive(&bob).await;
    let ended = EventKind::SessionEnded(Cause::PasswordChanged);
    let events = server.events();
    assert_eq!(events.iter().filter(|kind| **kind == ended).count(), 1);
    // With the new one, and from a token that was refreshed since.
    let again = server.change_password(&laptop.access, NEW, PASSWORD).await;
    assert_done(&again);
    server.assert_alive(&laptop).await;
}

pub async fn s32_a_login_with_the_old_password_is_refused_where_this_session_is_kept(
    stand: &Stand,
) {
    let server = stand.server().await;
    let laptop = server.login("alice").await;
    let (checks, begun) = (&server.fixture.password_checks, &server.fixture.begun);
    let access = &laptop.access;
    for by_password in [true, false] {
        // A thief has begun a login with the old password, which is right for a moment yet.
        checks.forget_permits(checks.available_permits());
        begun.forget_permits(begun.available_permits());
        let (stolen, changed) = tokio::join!(server.try_login("alice"), async {
            begun.acquire().await.unwrap().forget();
            let changed = if by_password {
                server.change_password(access, PASSWORD, NEW).await
            } else {
                server.post("logout-others", access).await
            };
            checks.add_permits(1);
            changed
        });
        assert_done(&changed);
        assert_eq!(stolen.status, 409, "{stolen:?}");
        checks.add_permits(1);
        server.login("alice").await;
    }
    server.assert_alive(&laptop).await;
}

pub async fn s35_a_password_that_is_not_changed_ends_nothing(stand: &Stand) {
    let server = stand.server().await;
    let (phone, laptop) = (server.login("alice").await, server.login("alice").await);
    let access = &laptop.access;
    let wrong = server.change_password(access, "guess", NEW).await;
    assert_eq!(wrong.status, 403, "{wrong:?}");
    assert_eq!(wrong.json()["error"], "access_denied");
    let short = server.change_password(access, PASSWORD, "short").await;
    assert_eq!(short.status, 400, "{short:?}");
    assert_eq!(
        short.json()["error_description"],
        "the new password is too short"
    );
    for (media_type, body, status) in [
        (JSON, "{}", 400),
        (JSON, "[\"a\",\"b\"]", 400),
        (JSON, "{\"current_password\":\"wonderland\"}", 400),
        ("text/plain", "{}", 415),
    ] {
        let request = RawRequest::post_with("/auth/password", media_type, body.to_owned());
        let response = server.send(request.bearer(access)).await;
        assert_eq!(response.status, status, "{body}: {response:?}");
    }
    let large = "x".repeat(1 << 20);
    let large = server.change_password(access, PASSWORD, &large).await;
    assert_eq!(large.status, 413);
    let nobody = server.send(changing_password("/auth", PASSWORD, NEW)).await;
    assert_eq!(nobody.status, 401);
    // A third party's token changes no password.
    let attempt = server.sessions.begin().await.unwrap();
    let grant = jwt_revoke_core::session::Grant::new().with_client("partner");
    let partner = server
        .sessions
        .login(attempt, "alice", &grant)
        .await
        .unwrap();
    let partner = server.change_password(partner.access_token(), PASSWORD, NEW);
    assert_eq!(partner.await.status, 403);
    // Where the application does not say how, there is no such route.
    let request = changing_password("/some/auth", PASSWORD, NEW).bearer(access);
    assert_eq!(server.send(request).await.status, 404);
    assert!(
        server
            .fixture
            .passwords
            .lock()
            .unwrap()
            .values()
            .all(|own| own == PASSWORD)
    );
    server.assert_alive(&phone).await;
    server.assert_alive(&laptop).await;
}

pub async fn s35_a_change_that_is_not_confirmed_is_503_and_is_repeated_as_it_is(stand: &Stand) {
    let server = stand.server().await;
    let (phone, laptop) = (server.login("alice").await, server.login("alice").await);
    let access = &laptop.access;
    server.observer.refuse_writes(true);
    assert_later(&server.change_password(access, PASSWORD, NEW).await);
    server.observer.refuse_writes(false);
    // The password has changed, and the phone is still in.
    server.assert_alive(&phone).await;
    assert_done(&server.change_password(access, PASSWORD, NEW).await);
    assert!(!server.opens(&phone.access).await);
    assert_done(&server.change_password(access, PASSWORD, NEW).await);
    server.assert_alive(&laptop).await;
}

pub async fn s35_pages_of_other_origins_change_no_password(stand: &Stand) {
    let server = stand.server().await;
    let jar: Jar = login(&server, "alice").await;
    let request = || {
        let request = changing_password("/cookies/auth", PASSWORD, NEW);
        request.header("cookie", jar.header())
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example.com"),
    ] {
        let response = server.send(request().header(name, value)).await;
        assert_eq!(response.status, 403, "{response:?}");
    }
    assert!(server.fixture.passwords.lock().unwrap().is_empty());
    let response = server.send(request().header("sec-fetch-site", "same-origin"));
    assert_done(&response.await);
}
