//! What a check of sessions works with.

use std::{
    collections::HashMap,
    future::ready,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::BoxFuture;
use jwt_revoke_core::{
    Guard, Issuer,
    session::{Event, EventKind, Sessions},
    store::{AnyStore, EmbeddedStore, RedisStore},
    token::Subject,
    verify::{Algorithm, SigningKey},
    wire::{PasswordChange, PasswordError},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    http_suite::Running,
    observed_store::{ObservedStore, Observer},
    proxy::Proxy,
    raw_http::{RawRequest, RawResponse},
    redis_server::RedisServer,
};

/// What a check's servers keep their sessions in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The embedded store, in memory.
    Embedded,
    /// A Redis server of the check's own, behind a proxy.
    Redis,
}

/// Serves a fixture on a free port of the loopback interface.
pub type Serve = fn(SessionFixture) -> BoxFuture<'static, Running>;

/// What an adapter serves.
#[derive(Clone)]
pub struct SessionFixture {
    /// The sessions of the users, as the check wants them.
    pub sessions: Sessions,
    /// The password check waits here: as many logins pass as there are permits.
    pub password_checks: Arc<Semaphore>,
    /// How many logins have begun.
    pub begun: Arc<Semaphore>,
    /// The passwords that users have changed. Before, it is [`PASSWORD`].
    pub passwords: Arc<Mutex<HashMap<String, String>>>,
}

impl SessionFixture {
    /// What the application does when a password changes: eight characters are asked for.
    pub fn password_change(&self) -> impl PasswordChange + Clone + use<> {
        let passwords = Arc::clone(&self.passwords);
        move |user: Subject, current: String, new: String| {
            let mut passwords = passwords.lock().unwrap();
            let user = user.as_str().to_owned();
            let password = passwords.entry(user).or_insert_with(|| PASSWORD.to_owned());
            ready(if *password != current {
                Err(PasswordError::Wrong)
            } else if new.len() < 8 {
                Err(PasswordError::Unfit("the new password is too short".into()))
            } else {
                *password = new;
                Ok(())
            })
        }
    }
}

/// Where a check finds servers.
pub struct Stand {
    backend: Backend,
    serve: Serve,
}

impl Stand {
    /// Servers of an adapter, over stores of a kind.
    pub fn new(backend: Backend, serve: Serve) -> Self {
        Self { backend, serve }
    }

    /// How many rounds of a race are enough: an embedded store answers sooner.
    pub fn rounds(&self, embedded: usize, redis: usize) -> usize {
        match self.backend {
            Backend::Embedded => embedded,
            Backend::Redis => redis,
        }
    }

    /// A server over an empty store, with the sessions as they are by default.
    pub async fn server(&self) -> SessionServer {
        self.server_with(|sessions| sessions).await
    }

    /// A server over an empty store, its sessions changed.
    pub async fn server_with(&self, change: impl FnOnce(Sessions) -> Sessions) -> SessionServer {
        self.server_of(Duration::from_secs(900), change).await
    }

    /// A server over an empty store, with access tokens that live so long, its sessions changed.
    pub async fn server_of(
        &self,
        access_lifetime: Duration,
        change: impl FnOnce(Sessions) -> Sessions,
    ) -> SessionServer {
        self.server_by(|issuer| issuer.with_lifetime(access_lifetime), change)
            .await
    }

    /// A server over an empty store, its issuer and its sessions changed.
    pub async fn server_by(
        &self,
        adjust: impl FnOnce(Issuer) -> Issuer,
        change: impl FnOnce(Sessions) -> Sessions,
    ) -> SessionServer {
        let observer = Observer::default();
        let (store, redis) = match self.backend {
            Backend::Embedded => {
                let store = ObservedStore::new(EmbeddedStore::in_memory(), &observer);
                (AnyStore::from(store), None)
            }
            Backend::Redis => {
                let server = RedisServer::start();
                let proxy = Proxy::start(server.port()).await;
                let store = connected(&proxy, &observer).await;
                (store, Some((server, proxy)))
            }
        };
        let issuer = adjust(issuer_of(generated()));
        let guard = Guard::new(issuer.verifier(), store.clone());
        self.serve(&guard, issuer, change, observer, store, redis)
            .await
    }

    /// Another process of the fleet of `server`, or the next one after a deploy: over the same store, with
    /// an issuer and settings of its own. It checks strictly.
    pub async fn process(
        &self,
        server: &SessionServer,
        issuer: Issuer,
        change: impl FnOnce(Sessions) -> Sessions,
    ) -> SessionServer {
        let observer = Observer::default();
        let store = match &server.redis {
            Some((_, proxy)) => connected(proxy, &observer).await,
            None => server.store.clone(),
        };
        let guard = Guard::new(issuer.verifier(), store.clone()).strict();
        self.serve(&guard, issuer, change, observer, store, None)
            .await
    }

    async fn serve(
        &self,
        guard: &Guard,
        issuer: Issuer,
        change: impl FnOnce(Sessions) -> Sessions,
        observer: Observer,
        store: AnyStore,
        redis: Option<(RedisServer, Proxy)>,
    ) -> SessionServer {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let sessions = Sessions::new(guard, issuer)
            .with_events(move |event: &Event| sink.lock().unwrap().push(event.clone()));
        let fixture = SessionFixture {
            sessions: change(sessions),
            password_checks: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            begun: Arc::new(Semaphore::new(0)),
            passwords: Arc::default(),
        };
        let running = (self.serve)(fixture.clone()).await;
        SessionServer {
            address: running.address,
            sessions: fixture.sessions.clone(),
            fixture,
            observer,
            redis,
            store,
            events,
            _running: Mutex::new(running),
        }
    }
}

/// A connection of its own to the server behind a proxy.
async fn connected(proxy: &Proxy, observer: &Observer) -> AnyStore {
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    // Not what is tested here: machines that test are busy.
    let patient = RedisStore::builder(&url).with_check_timeout(Duration::from_secs(5));
    let store = patient.connect().await.expect("a store");
    ObservedStore::new(store, observer).into()
}

/// A new key.
pub(super) fn generated() -> SigningKey {
    SigningKey::generate(Algorithm::EdDSA).expect("a key")
}

/// The issuer of every server, with a key.
pub(super) fn issuer_of(key: SigningKey) -> Issuer {
    Issuer::new(key, "https://auth.example.com", "api")
}

/// A server of sessions.
pub struct SessionServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its sessions, for what has no route.
    pub sessions: Sessions,
    /// What it serves.
    pub fixture: SessionFixture,
    /// What sees and fails the writes of its store.
    pub observer: Observer,
    /// The Redis server and the proxy before it.
    pub redis: Option<(RedisServer, Proxy)>,
    store: AnyStore,
    events: Arc<Mutex<Vec<Event>>>,
    _running: Mutex<Running>,
}

impl SessionServer {
    /// Sends a request and reads the response to its end.
    pub async fn send(&self, request: RawRequest) -> RawResponse {
        request.send(self.address).await
    }

    /// Logs a user in.
    pub async fn login(&self, user: &str) -> Tokens {
        Tokens::of(&self.try_login(user).await)
    }

    /// Tries to log a user in.
    pub async fn try_login(&self, user: &str) -> RawResponse {
        let body = json!({ "username": user }).to_string();
        self.send(RawRequest::post_with("/login", JSON, body)).await
    }

    /// Exchanges a refresh token.
    pub async fn refresh(&self, token: &str) -> RawResponse {
        self.send(refreshing(token)).await
    }

    /// Exchanges a refresh token, which must work.
    #[track_caller]
    pub fn refreshed(&self, tokens: &Tokens) -> impl Future<Output = Tokens> {
        let answer = self.refresh(&tokens.refresh);
        async move { Tokens::of(&answer.await) }
    }

    /// `POST` below `/auth`, with an access token.
    pub async fn post(&self, path: &str, access: &str) -> RawResponse {
        let request = RawRequest::post(&format!("/auth/{path}"));
        self.send(request.bearer(access)).await
    }

    /// `POST /auth/logout`, with whichever tokens.
    pub async fn logout(&self, access: Option<&str>, refresh: Option<&str>) -> RawResponse {
        let request = match refresh {
            Some(token) => {
                let body = json!({ "refresh_token": token }).to_string();
                RawRequest::post_with("/auth/logout", JSON, body)
            }
            None => RawRequest::post("/auth/logout"),
        };
        self.send(match access {
            Some(access) => request.bearer(access),
            None => request,
        })
        .await
    }

    /// `POST /auth/password`.
    pub async fn change_password(&self, access: &str, current: &str, new: &str) -> RawResponse {
        self.send(changing_password("/auth", current, new).bearer(access))
            .await
    }

    /// The user's sessions.
    pub async fn list(&self, access: &str) -> Vec<Value> {
        let request = RawRequest::get("/auth/sessions").bearer(access);
        let response = self.send(request).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.json()["sessions"].as_array().unwrap().clone()
    }

    /// `DELETE /auth/sessions/{sid}`.
    pub async fn end(&self, access: &str, sid: &str) -> RawResponse {
        let request = RawRequest::new("DELETE", &format!("/auth/sessions/{sid}"));
        self.send(request.bearer(access)).await
    }

    /// Whether a protected route lets an access token through. Anything but 200 and 401 fails.
    pub async fn opens(&self, access: &str) -> bool {
        let response = self.send(RawRequest::get("/me").bearer(access)).await;
        match response.status {
            200 => true,
            401 => false,
            _ => panic!("{response:?}"),
        }
    }

    /// Fails unless access and refresh token both work; gives the next pair.
    pub async fn assert_alive(&self, tokens: &Tokens) -> Tokens {
        assert!(self.opens(&tokens.access).await, "the access token is dead");
        self.refreshed(tokens).await
    }

    /// Fails unless access and refresh token are both refused.
    pub async fn assert_dead(&self, tokens: &Tokens) {
        assert!(!self.opens(&tokens.access).await, "the access token works");
        assert_refused(&self.refresh(&tokens.refresh).await);
    }

    /// What happened to sessions up to now.
    pub fn events(&self) -> Vec<EventKind> {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| event.kind.clone()).collect()
    }

    /// What happened to sessions up to now, whole.
    pub fn whole_events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Whether a theft was reported.
    pub fn reuse_was_detected(&self) -> bool {
        let is_reuse = |kind: &EventKind| matches!(kind, EventKind::ReuseDetected(_));
        self.events().iter().any(is_reuse)
    }

    /// How many spent tokens got their successor again.
    pub fn retries(&self) -> usize {
        let events = self.events();
        let retries = events.iter().filter(|kind| **kind == EventKind::GraceRetry);
        retries.count()
    }
}

/// The request that exchanges a refresh token.
pub fn refreshing(token: &str) -> RawRequest {
    let body = json!({ "refresh_token": token }).to_string();
    RawRequest::post_with("/auth/refresh", JSON, body)
}

/// The request that changes a password, of the routes below `base`.
pub fn changing_password(base: &str, current: &str, new: &str) -> RawRequest {
    let body = json!({ "current_password": current, "new_password": new }).to_string();
    RawRequest::post_with(&format!("{base}/password"), JSON, body)
}

/// Fails unless it is the refusal of a refresh token, which is the same whatever is wrong.
#[track_caller]
pub fn assert_refused(response: &RawResponse) {
    assert_eq!(response.status, 401, "{response:?}");
    let description = "the refresh token is invalid, expired or revoked";
    let body = json!({ "error": "invalid_grant", "error_description": description });
    assert_eq!(response.json(), body);
    assert_eq!(response.header("www-authenticate"), Some("Bearer"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.headers("set-cookie"), Vec::<&str>::new());
}

/// Fails unless it says: later.
#[track_caller]
pub fn assert_later(response: &RawResponse) {
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.json()["error"], "temporarily_unavailable");
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.headers("set-cookie"), Vec::<&str>::new());
}

/// Fails unless it is an empty 204.
#[track_caller]
pub fn assert_done(response: &RawResponse) {
    assert_eq!((response.status, response.body.as_str()), (204, ""));
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

/// A pair of tokens, as a client holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl Tokens {
    /// The pair in a response, which must have exactly what it should.
    #[track_caller]
    pub fn of(response: &RawResponse) -> Self {
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("content-type"), Some("application/json"));
        let Value::Object(mut body) = response.json() else {
            panic!("no object");
        };
        let mut text = |name| body.remove(name).unwrap().as_str().unwrap().to_owned();
        let tokens = Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
        };
        assert_eq!(text("token_type"), "Bearer");
        assert!(body.remove("expires_in").unwrap().is_u64());
        body.remove("scope");
        assert!(body.is_empty(), "{body:?}");
        tokens
    }

    /// What both tokens are by their `jti`s.
    pub fn identity(&self) -> [Value; 2] {
        [&self.access, &self.refresh].map(|token| claims(token)["jti"].clone())
    }

    /// The session.
    pub fn sid(&self) -> String {
        claims(&self.refresh)["sid"].as_str().unwrap().to_owned()
    }

    /// Which of the session's refresh tokens this is.
    pub fn generation(&self) -> u64 {
        claims(&self.refresh)["gen"].as_u64().unwrap()
    }
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

/// Everybody's password.
pub const PASSWORD: &str = "wonderland";

/// The media type.
pub const JSON: &str = "application/json";
