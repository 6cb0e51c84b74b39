//! Spans: what they tell, and I9: that neither they nor events tell a secret, at any level.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::time::Duration;

use jwt_revoke_core::{
    Guard, Issuer,
    guard::Target,
    session::{Grant, Pair, Sessions},
    store::{AnyStore, EmbeddedStore, RedisStore},
    token::SessionId,
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::{
    logs,
    patience::{PATIENCE, until},
    redis_server::RedisServer,
};

const SECRET: &[u8] = b"9f8Zq2rT7wXk4LmN0pVs6yBd1cGh3jEa5uIo8tRe";
const PASSWORD: &str = "the-password-of-redis";

/// Claims: events may name them, spans may not.
const MARKS: [&str; 3] = ["marked-subject", "marked-client", "marked-device"];

/// What must be in no line.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn add(&mut self, pair: &Pair) {
        for token in [pair.access_token(), pair.refresh_token()] {
            self.0.extend(token.split('.').map(str::to_owned));
        }
    }
}

/// The lives of two sessions, with all that may go wrong in them.
async fn lives(store: AnyStore, secrets: &mut Secrets) {
    let key = SigningKey::from_secret(Algorithm::HS256, SECRET).unwrap();
    let issuer = Issuer::new(key, "https://auth.example.com", "api");
    let guard = Guard::new(issuer.verifier(), store);
    guard.ready().await.unwrap();
    let sessions = Sessions::new(&guard, issuer);
    let strict = sessions.clone().with_grace(Duration::ZERO);
    let [subject, client, device] = MARKS;
    let grant = Grant::new().with_client(client).with_device(device);
    let login = async || {
        let attempt = sessions.begin().await.unwrap();
        sessions.login(attempt, subject, &grant).await.unwrap()
    };
    let (phone, laptop) = (login().await, login().await);
    let access = guard.check(phone.access_token()).await.unwrap();
    guard.check(phone.access_token()).await.unwrap();
    guard.strict().check(laptop.access_token()).await.unwrap();
    for wrong in [
        format!("{}x", phone.access_token()),
        phone.access_token()[1..].to_owned(),
        phone.refresh_token().to_owned(),
    ] {
        guard.check(&wrong).await.unwrap_err();
        sessions
            .refresh(&format!("{wrong}y"), None)
            .await
            .unwrap_err();
        sessions.logout(&format!("{wrong}z")).await.unwrap_err();
    }
    let next = sessions.refresh(phone.refresh_token(), None).await.unwrap();
    let again = sessions.refresh(phone.refresh_token(), None).await.unwrap();
    sessions.sessions(&subject.into(), None).await.unwrap();
    sessions.privileges_changed(&subject.into()).await.unwrap();
    sessions
        .revoke_session(&access, &SessionId::from("nobody's"))
        .await
        .unwrap_err();
    sessions.revoke_others(&access).await.unwrap();
    strict
        .refresh(phone.refresh_token(), None)
        .await
        .unwrap_err();
    guard.check(next.access_token()).await.unwrap_err();
    guard.revoke(Target::client(client)).await.unwrap();
    let last = login().await;
    sessions.logout(last.access_token()).await.unwrap();
    guard.check(last.access_token()).await.unwrap_err();
    for pair in [&phone, &laptop, &next, &again, &last] {
        secrets.add(pair);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn i9_no_span_and_no_event_tells_a_secret() {
    logs::capture();
    let mut secrets = Secrets(vec![
        String::from_utf8(SECRET.to_vec()).unwrap(),
        format!("{SECRET:?}").trim_matches(['[', ']']).to_owned(),
        PASSWORD.to_owned(),
    ]);
    lives(EmbeddedStore::in_memory().into(), &mut secrets).await;

    let server = RedisServer::start_with(&["--requirepass", PASSWORD]);
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port());
    let store = RedisStore::builder(&url)
        .with_healing(Duration::ZERO)
        .with_check_timeout(Duration::from_millis(500))
        .with_write_timeout(PATIENCE)
        .connect()
        .await
        .unwrap();
    lives(store.clone().into(), &mut secrets).await;
    server.cli(&["-a", PASSWORD, "FLUSHALL"]);
    until("the shards are healed", || async {
        logs::captured().contains("put back what this process remembers")
    })
    .await;

    let logs = logs::captured();
    for secret in &secrets.0 {
        let line = logs.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
    let ends = |line: &&str| line.contains("close time.busy=");
    assert!(
        logs.lines().filter(ends).count() > 50,
        "spans are not told of"
    );
    for line in logs.lines().filter(ends) {
        for mark in MARKS {
            assert!(!line.contains(mark), "{line}");
        }
    }
    // A span is known by its name; then come its fields.
    let told = |span: &str, fields: &[&str]| {
        let has = |line: &str| {
            let span = line.rfind(span).map(|at| &line[at..]);
            span.is_some_and(|span| fields.iter().all(|field| span.contains(field)))
        };
        assert!(logs.lines().filter(ends).any(has), "no {span} {fields:?}");
    };
    let guarded = "guard=\"default\"";
    told(
        "check{",
        &[guarded, "shard=", "path=\"memory\"", "outcome=\"allowed\""],
    );
    told(
        "check{",
        &[
            guarded,
            "path=\"memory\"",
            "outcome=\"revoked\"",
            "dimension=\"session\"",
        ],
    );
    told(
        "check{",
        &[guarded, "path=\"verify\"", "outcome=\"invalid\""],
    );
    told(
        "check{",
        &[guarded, "path=\"store\"", "outcome=\"allowed\""],
    );
    told("lookup{", &["shard=", "outcome=\"nothing\""]);
    told(
        "revoke{",
        &["entries=1", "dimension=\"client\"", "outcome=\"kept\""],
    );
    told("refresh{", &[guarded, "outcome=\"rotated\""]);
    told("refresh{", &[guarded, "outcome=\"reused\""]);
    told("refresh{", &[guarded, "outcome=\"invalid\""]);
    told(
        "transition{",
        &["step=\"open\"", "shard=", "outcome=\"opened\""],
    );
    told("transition{", &["step=\"rotate\"", "outcome=\"retried\""]);
    told("heal{", &["shard="]);
    drop(store);
    until("the follower has ended", || async {
        let follows = |line: &str| line.contains("follow{") && line.contains("shards=16");
        logs::captured().lines().filter(ends).any(follows)
    })
    .await;
}
