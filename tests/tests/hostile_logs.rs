//! What the log says of tokens that are refused, and what text from outside can do to it: nothing.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

use std::{sync::Arc, time::Duration};

use jwt_revoke_core::{
    Clock, FakeClock, Guard, Issuer, Timestamp,
    guard::{Outage, Target},
    revocation::ClaimName,
    session::{Grant, Sessions, Welcome},
    store::{AnyStore, EmbeddedStore},
    token::ClientId,
    verify::{Algorithm, KeySet, SigningKey, Verifier},
};
use jwt_revoke_tests::{
    controlled_store::{ControlledStore, Mood},
    logs,
    redis_server::RedisServer,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://auth.example.com";
const AUDIENCE: &str = "api";
const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// A guard over the tokens of a key, on a clock that stands still.
struct Stand {
    clock: Arc<FakeClock>,
    key: SigningKey,
    guard: Guard,
    name: &'static str,
}

impl Stand {
    fn new(name: &'static str, configure: impl FnOnce(Verifier) -> Verifier) -> Self {
        logs::capture();
        let clock = Arc::new(FakeClock::new(START));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
        let verifier = Verifier::new(key.verification_key(), ISSUER, AUDIENCE)
            .with_clock(Arc::clone(&shared))
            .with_claim_dimension(ClaimName::new("tenant").unwrap());
        let store = ControlledStore::with_clock(shared);
        let guard = Guard::builder(configure(verifier), store)
            .with_name(name)
            .build();
        Self {
            clock,
            key,
            guard,
            name,
        }
    }

    fn claims(&self) -> Value {
        let now = self.clock.now().whole_seconds();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "jti": "j", "iat": now, "exp": now + 900,
        })
    }

    fn with(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        self.key.sign("at+jwt", &claims).unwrap()
    }

    async fn refuse(&self, token: &str) {
        self.guard.check(token).await.unwrap_err();
    }

    /// The warnings of this guard.
    fn warnings(&self) -> Vec<String> {
        let own = format!("guard={} ", self.name);
        let logs = logs::captured();
        let warnings = logs
            .lines()
            .filter(|line| line.contains(" WARN ") && line.contains(&own));
        warnings.map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn t34_each_refusal_that_a_setting_explains_says_what_to_do() {
    let stand = Stand::new("explained", |verifier| verifier.with_audience("other-api"));
    let stranger = SigningKey::generate(Algorithm::ES256).unwrap();
    let impostor = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let impostor = impostor.with_id(stand.key.id().as_str()).unwrap();
    let mismatch = stranger.clone().with_id(stand.key.id().as_str()).unwrap();
    let sign = |key: &SigningKey, typ| key.sign(typ, &stand.claims()).unwrap();
    let now = START.whole_seconds();
    let own_kid = stand.key.id().as_str();
    let stranger_kid = stranger.id().as_str();
    for (token, words) in [
        (
            sign(&stand.key, "JWT"),
            &["found=JWT", "expected=at+jwt", "allow_untyped"][..],
        ),
        (
            sign(&stand.key, "logout+jwt"),
            &["found=logout+jwt", "expected=at+jwt", "right kind"],
        ),
        (
            sign(&stranger, "at+jwt"),
            &[stranger_kid, own_kid, "replace_keys"],
        ),
        (
            sign(&mismatch, "at+jwt"),
            &["found=ES256", "expected=EdDSA", "from_jwks_for"],
        ),
        (
            sign(&impostor, "at+jwt"),
            &["signature does not hold", "compare this key"],
        ),
        (
            stand.with("iss", json!("https://auth.example.com/")),
            &[
                "found=https://auth.example.com/ ",
                "expected=https://auth.example.com",
                "to the letter",
            ],
        ),
        (
            stand.with("aud", json!(["web", "admin"])),
            &[
                "found=\"web, admin\"",
                "expected=\"api, other-api\"",
                "with_audience",
            ],
        ),
        (
            stand.with("exp", json!(now + 200_000)),
            &[
                "found=200000s",
                "expected=\"at most 86400s\"",
                "with_max_lifetime",
            ],
        ),
        (
            stand.with("iat", json!(now + 100)),
            &["in the future", "clocks"],
        ),
        (
            stand.with("nbf", json!(now + 100)),
            &["not valid yet", "clocks"],
        ),
        (
            stand.with("jti", Value::Null),
            &["lacks the claim", "jti", "allow_missing"],
        ),
        (stand.with("scope", json!(["read"])), &["scope", "form"]),
        (
            stand.with("tenant", json!({})),
            &["tenant", "revocation dimension"],
        ),
    ] {
        let before = stand.warnings().len();
        stand.refuse(&token).await;
        let warnings = stand.warnings();
        assert_eq!(warnings.len(), before + 1, "{words:?}: {warnings:#?}");
        let line = warnings.last().unwrap();
        for word in words.iter().chain(&["tokens are refused", "refused=1 "]) {
            assert!(line.contains(word), "{word} in {line}");
        }
        // Neither the token nor a part of it.
        for part in token.split('.') {
            assert!(!line.contains(part), "{line}");
        }
    }
    // What is the client's own fault is for `debug`.
    let before = stand.warnings().len();
    for token in [
        "",
        "a.b.c",
        "no token",
        &stand.with("exp", json!(now - 9)),
        &"x".repeat(10_000),
    ] {
        stand.refuse(token).await;
    }
    assert_eq!(stand.warnings().len(), before);
}

#[tokio::test]
async fn t34_a_flood_writes_a_line_a_minute_for_each_reason_with_a_count() {
    let stand = Stand::new("flooded", |verifier| verifier);
    let stranger = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let forged = |n: u32| {
        let key = stranger.clone().with_id(format!("kid-{n}")).unwrap();
        key.sign("at+jwt", &stand.claims()).unwrap()
    };
    for n in 0..500 {
        stand.refuse(&forged(n)).await;
    }
    assert_eq!(stand.warnings().len(), 1);
    // Another reason is not drowned by it.
    stand.refuse(&stand.with("aud", json!("web"))).await;
    assert_eq!(stand.warnings().len(), 2);
    stand.clock.advance(Duration::from_secs(60));
    stand.refuse(&forged(500)).await;
    let warnings = stand.warnings();
    assert_eq!(warnings.len(), 3);
    assert!(warnings[2].contains("refused=500 "), "{}", warnings[2]);
}

#[tokio::test]
async fn t34_refused_refresh_tokens_are_told_apart_from_access_tokens() {
    let stand = Stand::new("refreshed", |verifier| verifier);
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let issuer = Issuer::new(key, ISSUER, AUDIENCE);
    let guard = Guard::builder(issuer.verifier(), EmbeddedStore::in_memory())
        .with_name("refreshed")
        .build();
    let sessions = Sessions::new(&guard, issuer);
    let attempt = sessions.begin().await.unwrap();
    let pair = sessions
        .login(attempt, "alice", &Grant::new())
        .await
        .unwrap();
    sessions
        .refresh(pair.access_token(), None)
        .await
        .unwrap_err();
    guard.check(pair.refresh_token()).await.unwrap_err();
    // By another process, with a key of its own.
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let issuer = Issuer::new(key, ISSUER, AUDIENCE);
    let guard = Guard::builder(issuer.verifier(), EmbeddedStore::in_memory())
        .with_name("refreshed")
        .build();
    let other = Sessions::new(&guard, issuer);
    other.refresh(pair.refresh_token(), None).await.unwrap_err();
    let warnings = stand.warnings();
    let has = |words: [&str; 3]| {
        warnings
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    assert!(
        has(["kind=\"rt+jwt\"", "found=at+jwt", "expected=rt+jwt"]),
        "{warnings:#?}"
    );
    assert!(
        has(["kind=\"at+jwt\"", "found=rt+jwt", "expected=at+jwt"]),
        "{warnings:#?}"
    );
    assert!(
        has(["kind=\"rt+jwt\"", "unknown key", "replace_keys"]),
        "{warnings:#?}"
    );
}

/// Forges fields, ends lines, hides and turns text around.
const HOSTILE: &str = "bob FORGED=1 session=x kind=ReuseDetected\u{2028}FORGED=2\nFORGED=3\u{202e}\u{200b}\u{1b}[31m\"FORGED=4 \u{9b}\u{feff}\u{e0041}\\";

/// A run in which everything that comes from outside is hostile.
async fn hostile_run(store: AnyStore) {
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let key = key.with_id(HOSTILE).unwrap();
    let issuer = Issuer::new(key.clone(), ISSUER, AUDIENCE);
    let tenant = ClaimName::new("tenant").unwrap();
    let verifier = issuer.verifier().with_claim_dimension(tenant.clone());
    let guard = Guard::new(verifier, store);
    let hook_fails = |_| async { Err::<Welcome, _>(format!("no user {HOSTILE}").into()) };
    let sessions = Sessions::new(&guard, issuer.clone());
    let grant = || {
        let claims = json!({"tenant": HOSTILE, "note": HOSTILE});
        let grant = Grant::new().with_client(HOSTILE).with_device(HOSTILE);
        grant.with_claims(&claims).unwrap()
    };
    let login = || async {
        let attempt = sessions.begin().await.unwrap();
        sessions.login(attempt, HOSTILE, &grant()).await.unwrap()
    };
    let first = login().await;
    let access = guard.check(first.access_token()).await.unwrap();
    let listed = sessions.sessions(&HOSTILE.into(), None).await.unwrap();
    let device = listed[0].device.as_deref().unwrap();
    assert!(!device.contains(is_hidden), "{device:?}");

    // Refreshes: exchanged, retried, of another client, failed by the application, reused.
    let next = sessions.refresh(first.refresh_token(), None).await.unwrap();
    sessions.refresh(first.refresh_token(), None).await.unwrap();
    let other = Some(ClientId::from(format!("other {HOSTILE}")));
    sessions
        .refresh(next.refresh_token(), other)
        .await
        .unwrap_err();
    let failing = sessions.clone().with_hook(hook_fails);
    failing
        .refresh(next.refresh_token(), None)
        .await
        .unwrap_err();
    let strict = sessions.clone().with_grace(Duration::ZERO);
    strict
        .refresh(first.refresh_token(), None)
        .await
        .unwrap_err();

    // Ends of every kind, and revocations by words of a request.
    let second = login().await;
    sessions.logout(second.refresh_token()).await.unwrap();
    let third = login().await;
    let access = guard.check(third.access_token()).await.unwrap_or(access);
    sessions.revoke_others(&access).await.ok();
    for target in [
        Target::logout(&access),
        Target::jti(HOSTILE).of(HOSTILE),
        Target::session(HOSTILE),
        Target::subject(HOSTILE),
        Target::client(HOSTILE),
        Target::claim(&tenant, HOSTILE),
    ] {
        guard
            .revoke(target.because(HOSTILE).by(HOSTILE))
            .await
            .unwrap();
    }

    // An issuer that the guard does not know is an error, whose text is as careful.
    let stray = Target::subject("bob").issued_by(HOSTILE);
    let error = guard.revoke(stray).await.unwrap_err().to_string();
    assert!(!error.contains(is_hidden), "{error:?}");

    // Tokens that are refused by what they say.
    let now = jwt_revoke_core::SystemClock::new().now().whole_seconds();
    let claims = |name: &str| {
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": HOSTILE, "jti": HOSTILE, "sid": HOSTILE,
            "client_id": HOSTILE, "azp": HOSTILE, "iat": now, "exp": now + 600,
        });
        claims[name] = json!(HOSTILE);
        claims
    };
    let stranger = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let stranger = stranger.with_id(format!("stranger {HOSTILE}")).unwrap();
    for token in [
        key.sign("at+jwt", &claims("iss")).unwrap(),
        key.sign("at+jwt", &claims("aud")).unwrap(),
        key.sign("at+jwt", &claims("sub")).unwrap(),
        key.sign(HOSTILE, &claims("sub")).unwrap(),
        stranger.sign("at+jwt", &claims("sub")).unwrap(),
        HOSTILE.to_owned(),
    ] {
        guard.check(&token).await.unwrap_err();
        sessions.refresh(&token, None).await.unwrap_err();
        // Some are genuine enough to be ended.
        sessions.logout(&token).await.ok();
        sessions.inspect(&token).await.unwrap();
    }
}

/// What must never stand in a log as it is.
fn is_hidden(c: char) -> bool {
    let quoted = format!("{:?}", format!("a{c}"));
    c != '\n' && c != '"' && c != '\'' && c != '\\' && quoted != format!("\"a{c}\"")
}

/// The line without what stands between quotes.
fn outside_quotes(line: &str) -> String {
    let (mut outside, mut is_inside, mut is_escaped) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_inside => is_escaped = true,
            '"' => is_inside = !is_inside,
            c if !is_inside => outside.push(c),
            _ => {}
        }
    }
    assert!(!is_inside, "a quote is not closed: {line}");
    outside
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t35_text_from_outside_forges_no_field_and_no_line_of_the_log() {
    logs::capture();
    hostile_run(EmbeddedStore::in_memory().into()).await;
    let server = RedisServer::start();
    hostile_run(AnyStore::connect(&server.url()).await.unwrap()).await;

    // Let through in an outage, with a line that names the token.
    let stand = Stand::new("outage", |verifier| verifier);
    let token = stand.with("jti", json!(HOSTILE));
    let store = ControlledStore::with_clock(Arc::clone(&stand.clock) as _);
    let guard = Guard::new(stand.guard.verifier().clone(), store.clone());
    store.set(Mood::Fails);
    guard
        .with_outage(Outage::Allow)
        .check(&token)
        .await
        .unwrap();

    // Keys that a set publishes.
    let jwk = stand
        .key
        .clone()
        .with_id(HOSTILE)
        .unwrap()
        .verification_key()
        .to_jwk()
        .unwrap();
    let (_, refused) = KeySet::from_jwks(format!("{{\"keys\":[{jwk},{jwk}]}}")).unwrap();
    tracing::info!(target: "jwt_revoke_core", "left out: {}", refused[0]);

    let logs = logs::captured();
    let own = |line: &&str| line.contains("jwt_revoke_core");
    let hostile = logs
        .lines()
        .filter(own)
        .filter(|line| line.contains("FORGED"))
        .count();
    assert!(hostile > 20, "the run logged {hostile} hostile lines");
    for line in logs.lines() {
        let at = line.find(|c| is_hidden(c) && c != '\t');
        assert_eq!(at, None, "{line:?}");
        assert!(!outside_quotes(line).contains("FORGED"), "{line}");
        assert!(!line.starts_with("FORGED"), "{line}");
    }
}
