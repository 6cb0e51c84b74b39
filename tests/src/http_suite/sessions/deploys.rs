//! Several processes over one store, each with settings of its own, and one process after another.

use std::time::Duration;

use futures::future::join_all;
use jwt_revoke_core::{
    Clock as _, Issuer, SystemClock,
    session::Sessions,
    verify::{KeySet, SigningKey, VerificationKey},
};
use serde_json::{Value, json};

use super::fixture::{
    SessionServer, Stand, Tokens, assert_done, assert_later, assert_refused, claims, generated,
    issuer_of,
};

/// Two processes of one fleet: of long lifetimes, and of short ones. The server whose store they share
/// stays as it is by default.
struct Fleet {
    _store: SessionServer,
    long: SessionServer,
    short: SessionServer,
}

impl Fleet {
    async fn start(stand: &Stand) -> Self {
        let store = stand.server().await;
        let key = store.sessions.issuer().key().clone();
        let settings = |access: Duration, refresh: Duration| {
            let change = move |s: Sessions| {
                s.with_idle_lifetime(refresh)
                    .with_absolute_lifetime(2 * refresh)
            };
            (issuer_of(key.clone()).with_lifetime(access), change)
        };
        let (issuer, change) = settings(Duration::from_secs(20 * 3600), 30 * DAY);
        let long = stand.process(&store, issuer, change).await;
        let (issuer, change) = settings(Duration::from_secs(600), 7 * DAY);
        let short = stand.process(&store, issuer, change).await;
        Self {
            long,
            short,
            _store: store,
        }
    }

    /// Where a user logs in, and the other.
    fn each_way(&self) -> [(&SessionServer, &SessionServer); 2] {
        [(&self.long, &self.short), (&self.short, &self.long)]
    }

    async fn assert_dead(&self, tokens: &Tokens) {
        self.long.assert_dead(tokens).await;
        self.short.assert_dead(tokens).await;
    }
}

pub async fn s21_a_deploy_that_changes_lifetimes_keeps_every_session(stand: &Stand) {
    let fleet = Fleet::start(stand).await;
    for (before, after) in fleet.each_way() {
        let held = before.login("alice").await;
        assert!(before.opens(&held.access).await);
        // What was issued under other lifetimes works on, and there and back again.
        let next = after.assert_alive(&held).await;
        let again = before.assert_alive(&next).await;
        // Each issues what its own settings say.
        assert_eq!(lifetimes(&held), lifetimes(&again));
        assert_ne!(lifetimes(&held), lifetimes(&next));
        assert!(after.opens(&held.access).await);
        // The list, and the introspection of what was issued elsewhere.
        assert_eq!(after.list(&again.access).await.len(), 1);
        for token in [&again.access, &again.refresh] {
            let inspected = after.sessions.inspect(token).await.unwrap();
            assert!(inspected.is_some());
        }
        assert_done(&before.logout(Some(&again.access), None).await);
    }
}

pub async fn s22_processes_with_other_lifetimes_end_each_others_sessions(stand: &Stand) {
    let fleet = Fleet::start(stand).await;
    for (here, there) in fleet.each_way() {
        let held = here.login("alice").await;
        assert_done(&there.logout(None, Some(&held.refresh)).await);
        fleet.assert_dead(&held).await;

        let held = here.login("alice").await;
        assert_done(&there.logout(Some(&held.access), None).await);
        fleet.assert_dead(&held).await;

        let held = here.login("alice").await;
        assert_done(&there.logout(Some(&held.access), Some(&held.refresh)).await);
        fleet.assert_dead(&held).await;

        // RFC 7009: a refresh token ends its session, an access token dies alone.
        let held = here.login("alice").await;
        let revoked = there.sessions.revoke_token(&held.access, None).await;
        revoked.unwrap();
        for server in [here, there] {
            assert!(!server.opens(&held.access).await);
        }
        let held = there.refreshed(&held).await;
        let revoked = there.sessions.revoke_token(&held.refresh, None).await;
        revoked.unwrap();
        fleet.assert_dead(&held).await;

        let [held, device] = [here.login("alice").await, here.login("alice").await];
        assert_done(&there.end(&held.access, &device.sid()).await);
        fleet.assert_dead(&device).await;
        let device = here.login("alice").await;
        assert_done(&there.post("logout-others", &held.access).await);
        fleet.assert_dead(&device).await;
        let held = there.assert_alive(&held).await;
        let bob = here.login("bob").await;
        assert_done(&there.post("logout-all", &held.access).await);
        fleet.assert_dead(&held).await;
        here.assert_alive(&bob).await;
    }
}

pub async fn s22_whatever_is_genuine_is_logged_out_in_force_or_not(stand: &Stand) {
    let server = stand.server().await;
    for kind in ["at+jwt", "rt+jwt"] {
        for (what, change) in out_of_force() {
            let held = server.login("alice").await;
            let token = match kind {
                "at+jwt" => &held.access,
                _ => &held.refresh,
            };
            let mut claims = claims(token);
            change(&mut claims);
            let odd = server.sessions.issuer().key().sign(kind, &claims).unwrap();
            let response = match kind {
                "at+jwt" => server.logout(Some(&odd), None).await,
                _ => server.logout(None, Some(&odd)).await,
            };
            assert_eq!(response.status, 204, "{kind} {what} {response:?}");
            server.assert_dead(&held).await;
        }
    }
    // What cannot be distinguished from nonsense.
    let held = server.login("alice").await;
    let forged = generated().sign("rt+jwt", &claims(&held.refresh)).unwrap();
    assert_refused(&server.logout(None, Some(&forged)).await);
    server.assert_alive(&held).await;
}

/// What makes the claims of a good token those of one that is not in force.
pub(crate) type Change = fn(&mut Value);

/// Ways in which a genuine token is not in force, each of which leaves `iss`, `aud`, `sub`, `sid` and
/// `jti` as they are.
pub(crate) fn out_of_force() -> Vec<(&'static str, Change)> {
    fn ahead(claims: &mut Value, seconds: u64) {
        let now = SystemClock::new().now().whole_seconds();
        claims["iat"] = (now + seconds).into();
        claims["exp"] = (now + seconds + 900).into();
    }
    vec![
        ("lapsed", |claims| claims["exp"] = 1_700_000_000.into()),
        ("for ten years", |claims| {
            claims["exp"] = (claims["iat"].as_u64().unwrap() + 315_360_000).into();
        }),
        ("a minute ahead", |claims| ahead(claims, 60)),
        ("forty days ahead", |claims| ahead(claims, 3_456_000)),
        ("not valid before", |claims| {
            claims["nbf"] = (claims["exp"].as_u64().unwrap() - 1).into();
        }),
        ("no date of issue", |claims| {
            claims.as_object_mut().unwrap().remove("iat");
        }),
        ("absurd generation", |claims| claims["gen"] = json!("many")),
        ("absurd scope", |claims| claims["scope"] = json!("a  b")),
    ]
}

/// How long access and refresh token live.
fn lifetimes(tokens: &Tokens) -> [u64; 2] {
    [&tokens.access, &tokens.refresh].map(|token| {
        let claims = claims(token);
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()
    })
}

pub async fn s23_keys_roll_over_a_fleet_without_one_refusal(stand: &Stand) {
    let store = stand.server().await;
    let (old, new) = (generated(), generated());
    let signing = |key: &SigningKey| issuer_of(key.clone());
    let announced = |key: VerificationKey| signing(&old).with_announced_key(key).unwrap();
    let retiring = |key: VerificationKey| signing(&new).with_retiring_key(key).unwrap();
    // Announce, sign, retire: one process after the other, each step only once all have taken the one
    // before.
    let steps: [Issuer; 4] = [
        signing(&old),
        announced(new.verification_key()),
        retiring(old.verification_key()),
        signing(&new),
    ];
    let mut fleet = Vec::new();
    for _ in 0..2 {
        fleet.push(stand.process(&store, steps[0].clone(), |s| s).await);
    }
    let mut clients: Vec<Tokens> = Vec::new();
    for step in &steps[1..] {
        for index in 0..fleet.len() {
            let next = stand.process(&store, step.clone(), |s| s).await;
            fleet[index] = next;
            clients = serve(&fleet, &clients).await;
        }
    }
    assert!(clients.len() > 10);
    for held in &clients {
        assert_done(&fleet[0].logout(None, Some(&held.refresh)).await);
        for server in &fleet {
            server.assert_dead(held).await;
        }
    }
}

/// Every client asks every process, all at the same time; a new one logs in at each.
async fn serve(fleet: &[SessionServer], clients: &[Tokens]) -> Vec<Tokens> {
    let logins = fleet
        .iter()
        .enumerate()
        .map(|(n, server)| async move { server.login(&format!("user-{n}")).await });
    let mut held = clients.to_vec();
    held.extend(join_all(logins).await);
    let served = held.into_iter().map(|mut tokens| async move {
        for server in fleet {
            for other in fleet {
                assert!(other.opens(&tokens.access).await, "a refusal");
            }
            tokens = server.assert_alive(&tokens).await;
        }
        tokens
    });
    join_all(served).await
}

pub async fn s24_a_key_that_the_guard_does_not_hold_signs_nothing(stand: &Stand) {
    let server = stand.server().await;
    let held = server.login("alice").await;
    let signing = server.sessions.issuer().key().verification_key();
    let other = generated().verification_key();
    let verifier = server.sessions.guard().verifier();
    verifier.replace_keys(other.clone());
    // It said 200 before, with tokens that the same process refused.
    assert_eq!(server.try_login("alice").await.status, 503);
    assert_later(&server.refresh(&held.refresh).await);
    verifier.replace_keys(KeySet::new([other, signing]).unwrap());
    let held = server.assert_alive(&held).await;
    assert_eq!(server.list(&held.access).await.len(), 1);
    assert!(!server.reuse_was_detected());
}

pub async fn s25_an_access_token_ends_with_a_session_that_is_not_used(stand: &Stand) {
    let idle = Duration::from_secs(40);
    let server = stand.server_with(|s| s.with_idle_lifetime(idle)).await;
    let held = server.login("alice").await;
    let next = server.assert_alive(&held).await;
    for tokens in [&held, &next] {
        let [access, refresh] = lifetimes(tokens);
        assert_eq!([access, refresh], [idle.as_secs(); 2]);
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
