//! Commits of sessions, and their events: rows S42, S43, S46 and S49.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _};
use jwt_revoke_core::{
    Guard, Issuer, defaults,
    guard::Target,
    revocation::Dimension,
    session::{
        Cause, Event, EventKind, Grant, IssueError, LoginError, Pair, RefreshError, ReuseScope,
        Sessions,
    },
    store::EmbeddedStore,
    token::Scope,
    verify::SigningKey,
};
use jwt_revoke_tests::{
    observed_store::{ObservedStore, Observer},
    patience::until,
};
use serde_json::{Value, json};

use super::{AUDIENCE, ISSUER, is_admitted, key};

/// Sessions without a grace: a token that is spent in vain is a theft at the next attempt.
struct Strict {
    sessions: Sessions,
    observer: Observer,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Strict {
    fn new() -> Self {
        let issuer = Issuer::new(key(), ISSUER, AUDIENCE);
        let observer = Observer::default();
        let store = ObservedStore::new(EmbeddedStore::in_memory(), &observer);
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let sink = Arc::clone(&events);
        let sessions = Sessions::new(&Guard::new(issuer.verifier(), store), issuer)
            .with_grace(Duration::ZERO)
            .with_events(move |event: &Event| sink.lock().unwrap().push(event.clone()));
        Self {
            sessions,
            observer,
            events,
        }
    }

    async fn login(&self, subject: &str) -> Pair {
        login(&self.sessions, subject, &Grant::new()).await.unwrap()
    }

    fn saw(&self, wanted: impl Fn(&EventKind) -> bool) -> bool {
        let events = self.events.lock().unwrap();
        events.iter().any(|event| wanted(&event.kind))
    }
}

async fn login(sessions: &Sessions, subject: &str, grant: &Grant) -> Result<Pair, LoginError> {
    let attempt = sessions.begin().await.unwrap();
    sessions.login(attempt, subject, grant).await
}

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

#[tokio::test]
async fn s42_no_session_is_opened_whose_tokens_verifiers_refuse() {
    let Strict {
        sessions, events, ..
    } = &Strict::new();
    let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
    let long = "x".repeat(defaults::MAX_ID_BYTES + 1);
    let wide: Vec<String> = (0..2000).map(|number| format!("s{number}")).collect();
    let grants = [
        Grant::new().with_client(""),
        Grant::new().with_client(long.as_str()),
        Grant::new().with_claims(&json!({ "deep": deep })).unwrap(),
        Grant::new().with_scope(scope(&wide.join(" "))),
    ];
    for grant in &grants {
        let refused = login(sessions, "alice", grant).await;
        assert!(matches!(refused, Err(LoginError::Issue(_))), "{refused:?}");
        let issued = sessions
            .issuer()
            .issue(sessions.guard(), "alice", grant)
            .await;
        assert!(issued.is_err(), "{issued:?}");
    }
    for subject in ["", &long] {
        let refused = login(sessions, subject, &Grant::new()).await;
        assert!(matches!(
            refused,
            Err(LoginError::Issue(IssueError::Subject))
        ));
    }
    let open = sessions.sessions(&"alice".into(), None).await.unwrap();
    assert_eq!(open, []);
    assert_eq!(events.lock().unwrap().len(), 0);
    // Up to the limits, all works.
    let most = "x".repeat(defaults::MAX_ID_BYTES);
    let deep = (0..100).fold(Value::Null, |inner, _| json!([inner]));
    let grant = Grant::new().with_client(most.as_str());
    let grant = grant.with_claims(&json!({ "deep": deep })).unwrap();
    let pair = login(sessions, &most, &grant).await.unwrap();
    assert!(is_admitted(sessions.guard(), pair.access_token()).await);
    let next = sessions.refresh(pair.refresh_token(), None).await.unwrap();
    assert!(is_admitted(sessions.guard(), next.access_token()).await);
}

#[tokio::test]
async fn s42_the_largest_token_can_be_set_and_a_session_that_is_larger_spends_nothing() {
    let Strict { sessions, .. } = Strict::new();
    let grant = Grant::new().with_scope(scope("read write admin"));
    let pair = login(&sessions, "alice", &grant).await.unwrap();
    let small = sessions.clone().with_max_token_bytes(300);
    assert_eq!(small.max_token_bytes(), 300);
    assert_eq!(
        small
            .clone()
            .with_max_token_bytes(1 << 20)
            .max_token_bytes(),
        defaults::MAX_TOKEN_BYTES
    );
    let refused = login(&small, "bob", &grant).await;
    let too_large = |error: &IssueError| matches!(error, IssueError::TooLarge { limit: 300, .. });
    assert!(matches!(&refused, Err(LoginError::Issue(error)) if too_large(error)));
    for _ in 0..2 {
        let refused = small.refresh(pair.refresh_token(), None).await;
        assert!(
            matches!(&refused, Err(RefreshError::Issue(error)) if too_large(error)),
            "{refused:?}"
        );
        assert!(refused.unwrap_err().is_temporary());
    }
    let next = sessions.refresh(pair.refresh_token(), None).await.unwrap();
    // A stolen token is noticed all the same.
    let replay = small.refresh(pair.refresh_token(), None).await;
    assert!(
        matches!(replay, Err(RefreshError::Reused { .. })),
        "{replay:?}"
    );
    assert!(!is_admitted(sessions.guard(), next.access_token()).await);
}

#[tokio::test]
async fn s43_a_scope_that_is_too_large_hides_no_theft_and_spends_no_honest_token() {
    let strict = Strict::new();
    let sessions = &strict.sessions;
    let grant = Grant::new().with_scope(scope("read write"));
    let first = login(sessions, "alice", &grant).await.unwrap();
    let admin = scope("read admin");
    let narrowed = |pair: &Pair, wanted: &Scope| {
        let (sessions, token, wanted) = (
            sessions.clone(),
            pair.refresh_token().to_owned(),
            wanted.clone(),
        );
        async move { sessions.refresh_narrowed(&token, None, Some(&wanted)).await }
    };
    for _ in 0..3 {
        let refused = narrowed(&first, &admin).await;
        assert!(matches!(refused, Err(RefreshError::Scope)), "{refused:?}");
    }
    let second = narrowed(&first, &scope("read")).await.unwrap();
    assert!(!strict.saw(|kind| matches!(kind, EventKind::ReuseDetected(_))));
    let replay = narrowed(&first, &admin).await;
    assert!(
        matches!(replay, Err(RefreshError::Reused { .. })),
        "{replay:?}"
    );
    assert!(strict.saw(|kind| *kind == EventKind::ReuseDetected(ReuseScope::User)));
    assert!(!is_admitted(sessions.guard(), second.access_token()).await);
}

/// The key is replaced by a new one, which turns out to be revoked: what it signs would be born dead.
#[tokio::test]
async fn s49_a_refresh_under_a_revoked_signing_key_is_503_and_spends_nothing() {
    let (old, new): (SigningKey, SigningKey) = (key(), key());
    let issuer = |key: &SigningKey, previous: &SigningKey| {
        let issuer = Issuer::new(key.clone(), ISSUER, AUDIENCE);
        issuer.with_retiring_key(previous.verification_key())
    };
    let (before, after) = (issuer(&old, &new).unwrap(), issuer(&new, &old).unwrap());
    let guard = Guard::new(before.verifier(), EmbeddedStore::in_memory());
    let strict = |issuer| Sessions::new(&guard, issuer).with_grace(Duration::ZERO);
    let (before, after) = (strict(before), strict(after));
    let first = login(&before, "alice", &Grant::new()).await.unwrap();
    // As a rotation of keys should be.
    let second = after.refresh(first.refresh_token(), None).await.unwrap();
    let second = before.refresh(second.refresh_token(), None).await.unwrap();
    guard.revoke(Target::key(new.id().as_str())).await.unwrap();
    for _ in 0..2 {
        let refused = after.refresh(second.refresh_token(), None).await;
        assert!(
            matches!(
                refused,
                Err(RefreshError::Issue(IssueError::Revoked(Dimension::Key)))
            ),
            "{refused:?}"
        );
        assert!(refused.unwrap_err().is_temporary());
    }
    let third = before.refresh(second.refresh_token(), None).await.unwrap();
    assert!(is_admitted(&guard, third.access_token()).await);
}

/// Asks for work, and drops it as soon as the store is asked the first question.
async fn abandon<T>(strict: &Strict, work: impl Future<Output = T>) {
    let asked = strict.observer.asked();
    let is_asked = until("the store is asked", async || {
        strict.observer.asked() > asked
    });
    futures::future::select(std::pin::pin!(work), std::pin::pin!(is_asked)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s46_what_a_handler_of_the_application_began_is_finished_and_reported() {
    type Work = fn(Sessions, [Pair; 2]) -> BoxFuture<'static, ()>;

    let remote = EventKind::SessionEnded(Cause::Remote);
    let works: [(Work, Option<EventKind>); 6] = [
        (
            |sessions, [phone, _]| {
                async move { drop(sessions.logout(phone.refresh_token()).await) }.boxed()
            },
            Some(EventKind::SessionEnded(Cause::Logout)),
        ),
        (
            |sessions, [phone, _]| {
                async move { drop(sessions.revoke_token(phone.refresh_token(), None).await) }
                    .boxed()
            },
            Some(EventKind::SessionEnded(Cause::Revocation)),
        ),
        (
            |sessions, [phone, laptop]| {
                async move {
                    let access = sessions.guard().check(laptop.access_token()).await;
                    let access = access.unwrap();
                    drop(sessions.revoke_session(&access, phone.session()).await);
                }
                .boxed()
            },
            Some(remote.clone()),
        ),
        (
            |sessions, [_, laptop]| {
                async move {
                    let access = sessions.guard().check(laptop.access_token()).await;
                    drop(sessions.revoke_others(&access.unwrap()).await);
                }
                .boxed()
            },
            Some(remote),
        ),
        // Of everything: the event has an instant.
        (
            |sessions, _| async move { drop(sessions.revoke_all("alice").await) }.boxed(),
            None,
        ),
        // A theft, if it was spent.
        (
            |sessions, [phone, _]| {
                async move { drop(sessions.refresh(phone.refresh_token(), None).await) }.boxed()
            },
            Some(EventKind::ReuseDetected(ReuseScope::User)),
        ),
    ];
    for round in 0..10 {
        for (number, (work, event)) in works.iter().enumerate() {
            let strict = Strict::new();
            let (phone, laptop) = (strict.login("alice").await, strict.login("alice").await);
            let last = number + 1 == works.len();
            let latest = match last {
                true => {
                    let next = strict.sessions.refresh(phone.refresh_token(), None);
                    next.await.unwrap()
                }
                false => phone.clone(),
            };
            // The store has done it, and its answer is on the way.
            strict.observer.delay_writes(Duration::from_millis(15));
            let work = work(strict.sessions.clone(), [phone, laptop]);
            abandon(&strict, work).await;
            until("it is reported", async || {
                strict.saw(|kind| match event {
                    Some(event) => kind == event,
                    None => matches!(kind, EventKind::RevokedAll(_)),
                })
            })
            .await;
            let guard = strict.sessions.guard();
            let dead = !is_admitted(guard, latest.access_token()).await;
            assert!(dead, "round {round}, work {number}");
        }
    }
}
