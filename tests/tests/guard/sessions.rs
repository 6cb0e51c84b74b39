//! Sessions over a guard that accepts another issuer's tokens too.

use jwt_revoke_core::{
    Access, Guard, Issuer,
    session::{EndError, Grant, Pair, Sessions},
    store::EmbeddedStore,
    verify::{SigningKey, Verifier},
    wire::{Asked, Companion},
};

use super::{AUDIENCE, ISSUER, is_admitted, key};

const OTHER: &str = "https://login.example.net";

/// The sessions of an issuer, over a store of its own.
fn sessions_of(
    issuer: &str,
    key: &SigningKey,
    configure: impl FnOnce(Verifier) -> Verifier,
) -> Sessions {
    let issuer = Issuer::new(key.clone(), issuer, AUDIENCE);
    let guard = Guard::new(configure(issuer.verifier()), EmbeddedStore::in_memory());
    Sessions::new(&guard, issuer)
}

async fn login(sessions: &Sessions, subject: &str) -> Pair {
    let attempt = sessions.begin().await.unwrap();
    let grant = Grant::new();
    sessions.login(attempt, subject, &grant).await.unwrap()
}

/// Our Alice has two devices. Our guard admits the other issuer's Alice, who is somebody else.
struct TwoIssuers {
    sessions: Sessions,
    devices: [Pair; 2],
    stranger: Access,
}

impl TwoIssuers {
    async fn new() -> Self {
        let key = key();
        let sessions = sessions_of(ISSUER, &key, Verifier::allow_any_issuer);
        let theirs = sessions_of(OTHER, &key, |verifier| verifier);
        let devices = [
            login(&sessions, "alice").await,
            login(&sessions, "alice").await,
        ];
        let stranger = login(&theirs, "alice").await;
        let stranger = sessions.guard().check(stranger.access_token()).await;
        Self {
            stranger: stranger.unwrap(),
            sessions,
            devices,
        }
    }

    async fn assert_that_nothing_ended(&self) {
        for device in &self.devices {
            let guard = self.sessions.guard();
            assert!(is_admitted(guard, device.access_token()).await);
            let refreshed = self.sessions.refresh(device.refresh_token(), None).await;
            refreshed.expect("a session that goes on");
        }
    }
}

#[tokio::test]
async fn t12_another_issuers_user_of_the_same_name_ends_no_session_here() {
    let two = TwoIssuers::new().await;
    assert_eq!(two.sessions.owner(&two.stranger), None);
    for device in &two.devices {
        let ended = two
            .sessions
            .revoke_session(&two.stranger, device.session())
            .await;
        assert!(matches!(ended, Err(EndError::NotFound)), "{ended:?}");
    }
    // Nor under the name of the stranger's own session.
    let own = two.stranger.session().unwrap();
    let ended = two.sessions.revoke_session(&two.stranger, own).await;
    assert!(matches!(ended, Err(EndError::NotFound)), "{ended:?}");
    let ended = two.sessions.revoke_others(&two.stranger).await;
    assert!(matches!(ended, Err(EndError::NotFound)), "{ended:?}");
    two.assert_that_nothing_ended().await;
}

#[tokio::test]
async fn t12_another_issuers_token_manages_no_session_by_the_routes() {
    let two = TwoIssuers::new().await;
    let companion = Companion::new(&two.sessions);
    let (asked, stranger) = (Asked::default(), &two.stranger);
    let device = two.devices[0].session().as_str();
    for reply in [
        companion.logout_all(stranger, &asked).await,
        companion.logout_others(stranger, &asked).await,
        companion.end(stranger, device, &asked).await,
        companion.list(stranger).await,
    ] {
        assert_eq!(reply.status, 403, "{reply:?}");
    }
    two.assert_that_nothing_ended().await;
}
