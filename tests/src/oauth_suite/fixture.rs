//! What a check of the suite works with.

use std::{
    any::Any,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{
    Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD,
};
use jwt_revoke_core::{
    Guard, Issuer,
    guard::Outage,
    session::{AttemptId, Grant, Pair, Refreshing, Sessions, Welcome},
    store::{BoxError, Store},
    token::Scope,
    verify::{Algorithm, SigningKey},
    wire::oauth::{Client, Clients, Endpoint, OAuth},
};
use serde_json::Value;

use super::store::SwitchedStore;
use crate::{
    logs,
    raw_http::{RawRequest, RawResponse},
};

/// What a server serves.
#[derive(Clone)]
pub struct Fixture {
    /// The store behind the guard.
    pub store: SwitchedStore,
    /// What guards `/me`. It fails closed.
    pub guard: Guard,
    /// The sessions of `oauth`, over a handle of the guard that lets through what is unknown.
    pub sessions: Sessions,
    /// `/auth`: clients are the application, `page` (public), `api` and `other` (confidential).
    pub oauth: OAuth,
    /// `/strict`: the same sessions without a grace, clients are the application and `page`, and no
    /// introspection.
    pub strict: OAuth,
    /// The secret of `api`.
    pub secret: String,
    /// The secret of `other`.
    pub other_secret: String,
    hook: Arc<Mutex<Answers>>,
    secrets: Arc<Mutex<Vec<String>>>,
}

/// What the application answers when it is asked whether a user is welcome.
#[derive(Clone, Copy, Debug)]
pub enum Answers {
    Unchanged,
    /// Yes, with this scope.
    Scope(&'static str),
    Refuse,
    Fails,
}

impl Fixture {
    /// Over a store, for a server that will listen there.
    pub fn new(listener: &TcpListener, store: impl Store) -> Self {
        logs::capture();
        let address = listener.local_addr().expect("an address");
        let store = SwitchedStore::new(store);
        let key = SigningKey::generate(Algorithm::ES256).expect("a key");
        let issuer = Issuer::new(key, format!("http://{address}"), "api");
        let guard = Guard::new(issuer.verifier(), store.clone());
        let hook = Arc::new(Mutex::new(Answers::Unchanged));
        let sessions = Sessions::new(&guard.with_outage(Outage::Allow), issuer)
            .with_hook(asking(Arc::clone(&hook)));
        let (secret, other_secret) = (random_secret(), random_secret());
        let public = Clients::default().with(Client::public("page").unwrap());
        let public = public.expect("good clients");
        let clients = public
            .clone()
            .with(Client::confidential("api", &secret).unwrap())
            .and_then(|all| all.with(Client::confidential("other", &other_secret)?));
        let oauth = OAuth::new(sessions.clone())
            .with_clients(clients.expect("good clients"))
            .with_introspection_scope(scope("introspect"));
        let strict = sessions.clone().with_grace(Duration::ZERO);
        let secrets = vec![secret.clone(), other_secret.clone()];
        Self {
            strict: OAuth::new(strict)
                .with_clients(public)
                .without(Endpoint::Introspect),
            store,
            guard,
            sessions,
            oauth,
            secret,
            other_secret,
            hook,
            secrets: Arc::new(Mutex::new(secrets)),
        }
    }

    /// What the application answers from now on.
    pub fn answer(&self, answer: Answers) {
        *self.hook.lock().unwrap() = answer;
    }
}

fn asking(
    answer: Arc<Mutex<Answers>>,
) -> impl Fn(Refreshing) -> std::future::Ready<Result<Welcome, BoxError>> {
    move |_| {
        std::future::ready(match *answer.lock().unwrap() {
            Answers::Unchanged => Ok(Welcome::Unchanged),
            Answers::Scope(text) => Ok(Welcome::With(Grant::new().with_scope(scope(text)))),
            Answers::Refuse => Ok(Welcome::Refuse),
            Answers::Fails => Err("told to fail".into()),
        })
    }
}

/// With characters that forms and headers encode.
fn random_secret() -> String {
    let random = AttemptId::random().bits().to_be_bytes();
    format!(
        "{}+/%&=: {}",
        STANDARD.encode(random),
        STANDARD.encode(random)
    )
}

/// A scope that is one.
pub(super) fn scope(text: &str) -> Scope {
    Scope::parse(text).expect("a scope")
}

/// A server that serves a fixture.
pub struct Server {
    pub fixture: Fixture,
    pub address: SocketAddr,
    _stop: Box<dyn Any + Send>,
}

impl Server {
    /// A server that was just started.
    pub fn new(fixture: Fixture, stop: Box<dyn Any + Send>) -> Self {
        let issuer = fixture.sessions.issuer().name();
        let address = issuer.trim_start_matches("http://").parse();
        Self {
            address: address.expect("the issuer is named after it"),
            fixture,
            _stop: stop,
        }
    }

    /// A session of `subject` through `client`, which may read and write.
    pub async fn login(&self, subject: &str, client: &str) -> Pair {
        let grant = Grant::new()
            .with_client(client)
            .with_scope(scope("read write"));
        self.login_with(subject, &grant).await
    }

    pub async fn login_with(&self, subject: &str, grant: &Grant) -> Pair {
        let sessions = &self.fixture.sessions;
        let attempt = sessions.begin().await.unwrap();
        let pair = sessions.login(attempt, subject, grant).await.unwrap();
        self.keep_secret(pair.access_token());
        self.keep_secret(pair.refresh_token());
        pair
    }

    pub async fn send(&self, request: RawRequest) -> RawResponse {
        request.send(self.address).await
    }

    /// A form without credentials in the header.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> RawResponse {
        self.send(form_request(path, form)).await
    }

    /// A form of the client `api`.
    pub async fn post_as_api(&self, path: &str, form: &[(&str, &str)]) -> RawResponse {
        let basic = basic("api", &self.fixture.secret);
        let request = form_request(path, form).header("Authorization", basic);
        self.send(request).await
    }

    /// `POST /auth/token` with the refresh token of a public client.
    pub async fn refresh(&self, client: &str, token: &str) -> RawResponse {
        self.refresh_at("/auth/token", client, token).await
    }

    pub async fn refresh_at(&self, path: &str, client: &str, token: &str) -> RawResponse {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", client),
        ];
        let response = self.post(path, &form).await;
        if response.status == 200 {
            self.keep_secret(response.json()["access_token"].as_str().unwrap());
            self.keep_secret(response.json()["refresh_token"].as_str().unwrap());
        }
        response
    }

    /// Whether an access token opens `/me`.
    pub async fn opens(&self, token: &str) -> bool {
        let response = self.send(RawRequest::get("/me").bearer(token)).await;
        assert!(matches!(response.status, 200 | 401), "{response:?}");
        response.status == 200
    }

    /// Fails unless both tokens of a pair work. Spends the refresh token.
    pub async fn assert_alive(&self, client: &str, pair: &Pair) {
        assert!(self.opens(pair.access_token()).await);
        let response = self.refresh(client, pair.refresh_token()).await;
        assert_eq!(response.status, 200, "{response:?}");
    }

    /// Fails if any of two tokens works.
    pub async fn assert_dead(&self, client: &str, access: &str, refresh: &str) {
        assert!(!self.opens(access).await, "the access token works");
        assert_error(&self.refresh(client, refresh).await, 400, "invalid_grant");
    }

    /// Has the test fail if the signature of a token is ever seen in the log.
    pub fn keep_secret(&self, token: &str) {
        let signature = token.rsplit('.').next().unwrap_or(token);
        self.fixture
            .secrets
            .lock()
            .unwrap()
            .push(signature.to_owned());
    }

    /// Neither tokens nor secrets of clients are in the log, at any level.
    pub fn assert_that_no_secret_leaked(&self) {
        let logs = logs::captured();
        for secret in &*self.fixture.secrets.lock().unwrap() {
            assert!(!logs.contains(secret), "a secret is in the log");
        }
    }
}

/// `POST` of a form.
pub fn form_request(path: &str, form: &[(&str, &str)]) -> RawRequest {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    RawRequest::new("POST", path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body.finish())
}

/// Credentials in the header, encoded as RFC 6749 §2.3.1 says.
pub fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = format!("{}:{}", encode(id), encode(secret));
    format!("Basic {}", STANDARD.encode(credentials))
}

/// The claims of a token.
pub(super) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

/// Fails unless the response is this error (RFC 6749 §5.2) and nothing else.
#[track_caller]
pub(super) fn assert_error(response: &RawResponse, status: u16, error: &str) {
    assert_eq!(response.status, status, "{response:?}");
    let body = response.json();
    assert_eq!(body["error"], error, "{response:?}");
    assert!(body["error_description"].is_string());
    assert_private(response);
    assert_eq!(
        response.header("content-type"),
        Some("application/json"),
        "{response:?}"
    );
    let challenge = response.header("www-authenticate");
    assert_eq!(challenge.is_some(), status == 401, "{response:?}");
    assert_eq!(response.header("retry-after").is_some(), status == 503);
}

/// Fails unless nobody may keep the response (RFC 6749 §5.1).
#[track_caller]
pub(super) fn assert_private(response: &RawResponse) {
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("pragma"), Some("no-cache"));
}
