//! Clients that hang up before they are answered: row S46.

use std::time::Duration;

use jwt_revoke_core::session::{Cause, EventKind};
use serde_json::json;

use super::{JSON, SessionServer, Stand, refreshing};
use crate::{patience::until, raw_http::RawRequest};

/// As far as a store is in another building.
const FAR: Duration = Duration::from_millis(15);

/// Sends a request, and hangs up as soon as the store is asked the first question about it.
async fn abandon(server: &SessionServer, request: RawRequest) {
    let asked = server.observer.asked();
    let connection = request.ask(server.address).await;
    until("the store is asked", async || {
        server.observer.asked() > asked
    })
    .await;
    drop(connection);
}

pub async fn s46_a_thief_who_hangs_up_is_noticed(stand: &Stand) {
    let server = stand.server_with(|s| s.with_grace(Duration::ZERO)).await;
    for round in 0..30 {
        let user = format!("user-{round}");
        let (stolen, laptop) = (server.login(&user).await, server.login(&user).await);
        let held = server.refreshed(&stolen).await;
        let before = server.events().len();
        server.observer.delay_answers(FAR);
        abandon(&server, refreshing(&stolen.refresh)).await;
        until("the theft is reported", async || {
            let events = server.events();
            let is_reuse = |kind: &EventKind| matches!(kind, EventKind::ReuseDetected(_));
            events[before..].iter().any(is_reuse)
        })
        .await;
        server.observer.delay_answers(Duration::ZERO);
        for tokens in [&held, &laptop] {
            server.assert_dead(tokens).await;
        }
    }
}

pub async fn s46_what_a_client_asked_for_is_done_though_it_hangs_up(stand: &Stand) {
    let server = stand.server().await;
    for round in 0..15 {
        for path in [
            "logout",
            "refresh-token",
            "logout-all",
            "logout-others",
            "sessions",
        ] {
            let user = format!("{path}-{round}");
            let (phone, laptop) = (server.login(&user).await, server.login(&user).await);
            let (request, event) = match path {
                "refresh-token" => {
                    let body = json!({ "refresh_token": phone.refresh }).to_string();
                    let request = RawRequest::post_with("/auth/logout", JSON, body);
                    (request, EventKind::SessionEnded(Cause::Logout))
                }
                "sessions" => {
                    let path = format!("/auth/sessions/{}", phone.sid());
                    let request = RawRequest::new("DELETE", &path).bearer(&laptop.access);
                    (request, EventKind::SessionEnded(Cause::Remote))
                }
                "logout-others" => {
                    let request = RawRequest::post("/auth/logout-others");
                    let request = request.bearer(&laptop.access);
                    (request, EventKind::SessionEnded(Cause::Remote))
                }
                _ => {
                    let request = RawRequest::post(&format!("/auth/{path}"));
                    let event = EventKind::SessionEnded(Cause::Logout);
                    (request.bearer(&phone.access), event)
                }
            };
            let before = server.events().len();
            server.observer.delay_answers(FAR);
            abandon(&server, request).await;
            until("it is done and reported", async || {
                server.events()[before..].iter().any(|kind| match kind {
                    EventKind::RevokedAll(_) => path == "logout-all",
                    kind => path != "logout-all" && *kind == event,
                })
            })
            .await;
            server.observer.delay_answers(Duration::ZERO);
            server.assert_dead(&phone).await;
            match path {
                "logout-all" => server.assert_dead(&laptop).await,
                _ => drop(server.assert_alive(&laptop).await),
            }
        }
    }
}
