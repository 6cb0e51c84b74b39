//! Sessions over a guard that accepts another issuer's tokens too, or that names claims of its own.

use std::{sync::Arc, time::Duration};

use jwt_revoke_core::{
    Access, Guard, Issuer, defaults,
    guard::Target,
    session::{EndError, Grant, Pair, RefreshError, Refreshing, Sessions, Welcome},
    store::{BoxError, EmbeddedStore},
    token::Scope,
    verify::{SigningKey, Verifier},
    wire::{
        Asked, Companion,
        oauth::{FormRequest, OAuth},
    },
};
use serde_json::{Value, json};

use super::{AUDIENCE, ISSUER, clock, is_admitted, key, tenant};

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
    login_with(sessions, subject, &Grant::new()).await
}

async fn login_with(sessions: &Sessions, subject: &str, grant: &Grant) -> Pair {
    let attempt = sessions.begin().await.unwrap();
    sessions.login(attempt, subject, grant).await.unwrap()
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

/// A retry gets the pair that was issued before, which has lived for a while.
#[tokio::test]
async fn s3_a_retry_is_told_how_long_the_pair_lives_from_now() {
    let (clock, shared) = clock();
    let issuer = Issuer::new(key(), ISSUER, AUDIENCE);
    let verifier = issuer.verifier().with_clock(Arc::clone(&shared));
    let store = EmbeddedStore::builder().with_clock(shared).in_memory();
    let sessions = Sessions::new(&Guard::new(verifier, store), issuer);
    let first = login(&sessions, "alice").await;
    clock.advance(Duration::from_secs(60));
    let rotated = sessions.refresh(first.refresh_token(), None).await.unwrap();
    clock.advance(Duration::from_millis(20_500));
    let retried = sessions.refresh(first.refresh_token(), None).await.unwrap();
    assert_eq!(retried.access_token(), rotated.access_token());
    assert_eq!(rotated.expires_in(), defaults::ACCESS_LIFETIME);
    assert_eq!(rotated.refresh_expires_in(), defaults::REFRESH_LIFETIME);
    // Down to the whole second: nobody is told that a token lives longer than it does.
    let since = Duration::from_secs(21);
    assert_eq!(retried.expires_in(), defaults::ACCESS_LIFETIME - since);
    let left = defaults::REFRESH_LIFETIME - since;
    assert_eq!(retried.refresh_expires_in(), left);
}

#[tokio::test]
async fn t12_another_issuers_scope_does_not_open_introspection() {
    let key = key();
    let sessions = sessions_of(ISSUER, &key, Verifier::allow_any_issuer);
    let theirs = sessions_of(OTHER, &key, |verifier| verifier);
    let scope = Scope::parse("introspect").unwrap();
    let service = Grant::new().with_scope(scope.clone());
    let ours = login_with(&sessions, "service", &service).await;
    let stranger = login_with(&theirs, "service", &service).await;
    let oauth = OAuth::new(sessions.clone()).with_introspection_scope(scope);
    for (caller, status) in [(&ours, 200), (&stranger, 403)] {
        let alice = login(&sessions, "alice").await;
        assert_eq!(introspect(&oauth, caller, &alice).await.0, status);
    }
}

#[tokio::test]
async fn the_empty_scope_which_every_token_has_opens_no_introspection() {
    let sessions = sessions_of(ISSUER, &key(), |verifier| verifier);
    let oauth = OAuth::new(sessions.clone()).with_introspection_scope(Scope::default());
    let alice = login(&sessions, "alice").await;
    let (status, body) = introspect(&oauth, &alice, &alice).await;
    assert_eq!((status, &body["active"]), (401, &Value::Null), "{body}");
}

async fn introspect(oauth: &OAuth, caller: &Pair, token: &Pair) -> (u16, Value) {
    let header = format!("Bearer {}", caller.access_token());
    let form = format!("token={}", token.access_token());
    let request = FormRequest::new(form.as_bytes()).with_authorization([header.as_bytes()]);
    let reply = oauth.introspect(&request).await;
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

/// The claims of a session are in its refresh tokens too, and so is what they can be revoked by.
#[tokio::test]
async fn a_tenant_that_is_off_boarded_refreshes_no_session() {
    let dimension = |verifier: Verifier| verifier.with_claim_dimension(tenant());
    let sessions = sessions_of(ISSUER, &key(), dimension);
    let of = |name: &str| {
        Grant::new()
            .with_claims(&json!({ "tenant": name }))
            .unwrap()
    };
    let (acme, other) = (
        login_with(&sessions, "alice", &of("acme")).await,
        login_with(&sessions, "alice", &of("other")).await,
    );
    let target = Target::claim(&tenant(), "acme");
    sessions.guard().revoke(target).await.unwrap();
    let refused = sessions.refresh(acme.refresh_token(), None).await;
    assert!(matches!(refused, Err(RefreshError::Ended)), "{refused:?}");
    assert!(!is_admitted(sessions.guard(), acme.access_token()).await);
    let refreshed = sessions.refresh(other.refresh_token(), None).await;
    refreshed.expect("a session of another tenant");
    // Whoever is let in again gets a session that works.
    let anew = login_with(&sessions, "alice", &of("acme")).await;
    assert!(is_admitted(sessions.guard(), anew.access_token()).await);
    sessions.refresh(anew.refresh_token(), None).await.unwrap();
}

/// A session joins a tenant at a refresh: what was revoked of the tenant since it was opened, it may not
/// bring forth.
#[tokio::test]
async fn s14_a_session_joins_no_tenant_that_was_revoked_after_it_was_opened() {
    let hook = |refreshing: Refreshing| async move {
        let joins = if refreshing.subject.as_str() == "alice" {
            "acme"
        } else {
            "other"
        };
        let grant = Grant::new().with_claims(&json!({ "tenant": joins }))?;
        Ok::<_, BoxError>(Welcome::With(grant))
    };
    let dimension = |verifier: Verifier| verifier.with_claim_dimension(tenant());
    let sessions = sessions_of(ISSUER, &key(), dimension).with_hook(hook);
    let (alice, bob) = (
        login(&sessions, "alice").await,
        login(&sessions, "bob").await,
    );
    let target = Target::claim(&tenant(), "acme");
    sessions.guard().revoke(target).await.unwrap();
    let refused = sessions.refresh(alice.refresh_token(), None).await;
    assert!(matches!(refused, Err(RefreshError::Ended)), "{refused:?}");
    let joined = sessions.refresh(bob.refresh_token(), None).await.unwrap();
    assert!(is_admitted(sessions.guard(), joined.access_token()).await);
    let anew = login(&sessions, "alice").await;
    let joined = sessions.refresh(anew.refresh_token(), None).await.unwrap();
    assert!(is_admitted(sessions.guard(), joined.access_token()).await);
}
