//! Requests that race.

use futures::future::join_all;
use tokio::join;

use super::fixture::{Server, claims};

pub async fn s10_a_revocation_racing_a_refresh_always_wins(server: &Server) {
    for round in 0..200 {
        let pair = server.login("alice", "page").await;
        let token = pair.refresh_token();
        let form = [("token", token), ("client_id", "page")];
        let revoke = server.post("/auth/revoke", &form);
        // Each goes first in half of the rounds, as far as the machine allows.
        let (revoked, refreshed) = if round % 2 == 0 {
            join!(revoke, server.refresh("page", token))
        } else {
            let (refreshed, revoked) = join!(server.refresh("page", token), revoke);
            (revoked, refreshed)
        };
        assert_eq!(revoked.status, 200, "{revoked:?}");
        assert!(!server.opens(pair.access_token()).await, "round {round}");
        if refreshed.status == 200 {
            let body = refreshed.json();
            let (access, next) = (&body["access_token"], &body["refresh_token"]);
            let (access, next) = (access.as_str().unwrap(), next.as_str().unwrap());
            server.assert_dead("page", access, next).await;
        }
    }
}

pub async fn s1_of_many_refreshes_at_once_one_rotates(server: &Server) {
    for _ in 0..10 {
        let pair = server.login("alice", "page").await;
        let token = pair.refresh_token();
        let responses = join_all((0..20).map(|_| server.refresh("page", token))).await;
        let mut successors: Vec<_> = responses
            .iter()
            .map(|response| {
                assert_eq!(response.status, 200, "{response:?}");
                let token = response.json()["refresh_token"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                claims(&token)["jti"].as_str().unwrap().to_owned()
            })
            .collect();
        successors.dedup();
        assert_eq!(successors.len(), 1);
        let next = responses[0].json()["refresh_token"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(server.refresh("page", &next).await.status, 200);
    }
}
