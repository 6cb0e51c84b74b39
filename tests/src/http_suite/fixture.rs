//! What a check of the suite works with.

use std::{
    any::Any,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use jwt_revoke_core::{
    Denied, Guard, Issuer,
    session::{Grant, Issued},
    token::Scope,
    verify::{Algorithm, SigningKey},
    wire::Refusal,
};
use serde::Deserialize;
use tokio::sync::Notify;

use crate::{
    controlled_store::ControlledStore,
    logs,
    raw_http::{RawRequest, RawResponse},
};

/// The cookie that holds a token.
pub const COOKIE: &str = "session";

/// What stands before the token in the query.
pub const TICKET: &str = "ticket=";

/// The application's own claims.
#[derive(Deserialize)]
pub struct Tenant {
    /// A claim that not every token has.
    pub tenant: String,
}

/// The scope that some routes ask for.
pub fn admin() -> Scope {
    Scope::parse("admin").expect("a scope")
}

/// A renderer of the application's own.
pub fn teapot(denied: &Denied) -> Refusal {
    Refusal::new(418)
        .with_header("x-code", denied.code())
        .with_body("text/plain", "short and stout")
}

/// The guard that a server asks, and what is behind it.
#[derive(Clone)]
pub struct Fixture {
    /// The store behind the guard.
    pub store: ControlledStore,
    /// The guard.
    pub guard: Guard,
    /// What signs the tokens that the guard accepts.
    pub issuer: Issuer,
    /// The store behind the other guard.
    pub other_store: ControlledStore,
    /// Another guard, over the same tokens.
    pub other_guard: Guard,
    /// Lets `GET /stream` send its second half.
    pub go_on: Arc<Notify>,
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}

impl Fixture {
    /// Two guards with empty stores, and a key that nobody else has.
    pub fn new() -> Self {
        logs::capture();
        let key = SigningKey::generate(Algorithm::EdDSA).expect("a key");
        let issuer = Issuer::new(key, "https://auth.example.com", "api");
        let (store, other_store) = (ControlledStore::new(), ControlledStore::new());
        Self {
            guard: Guard::new(issuer.verifier(), store.clone()),
            store,
            other_guard: Guard::new(issuer.verifier(), other_store.clone()),
            other_store,
            issuer,
            go_on: Arc::default(),
            tokens: Arc::default(),
        }
    }

    /// A session of `subject`.
    pub async fn login(&self, subject: &str) -> Issued {
        self.login_with(subject, &Grant::new()).await
    }

    /// A session of `subject` with scope or claims.
    pub async fn login_with(&self, subject: &str, grant: &Grant) -> Issued {
        let issued = self.issuer.issue(&self.guard, subject, grant).await;
        let issued = issued.expect("the store answers");
        self.keep_secret(issued.token());
        issued
    }

    /// Has the test fail if the signature of `token` is ever seen in a response or a log.
    /// Texts too short to be one are no secret.
    pub fn keep_secret(&self, token: &str) {
        if signature(token).len() < 40 {
            return;
        }
        self.tokens.lock().unwrap().push(token.to_owned());
    }
}

/// A server under way, and whatever must live as long as it does.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Stops it when dropped, if it does not stop with the test's runtime.
    pub stop: Box<dyn Any + Send>,
}

/// A server that serves a fixture.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it serves.
    pub fixture: Fixture,
    responses: Mutex<Vec<RawResponse>>,
    _stop: Box<dyn Any + Send>,
}

impl Server {
    /// A server that was just started.
    pub fn new(fixture: Fixture, running: Running) -> Self {
        Self {
            address: running.address,
            fixture,
            responses: Mutex::default(),
            _stop: running.stop,
        }
    }

    /// Sends a request and reads the response to its end.
    pub async fn send(&self, request: RawRequest) -> RawResponse {
        let response = request.send(self.address).await;
        self.responses.lock().unwrap().push(response.clone());
        response
    }

    /// `GET` with a token.
    pub async fn get(&self, path: &str, token: &str) -> RawResponse {
        self.send(RawRequest::get(path).bearer(token)).await
    }

    /// `GET` without a token.
    pub async fn get_bare(&self, path: &str) -> RawResponse {
        self.send(RawRequest::get(path)).await
    }

    /// Fails unless the response is 200 with this body.
    #[track_caller]
    pub fn assert_ok(response: &RawResponse, body: &str) {
        assert_eq!((response.status, response.body.as_str()), (200, body));
    }

    /// Tokens are in no response and in no log, at any level.
    ///
    /// # Panics
    ///
    /// When one is.
    pub fn assert_that_no_token_leaked(&self) {
        let logs = logs::captured();
        let responses = format!("{:?}", self.responses.lock().unwrap());
        for token in &*self.fixture.tokens.lock().unwrap() {
            let signature = signature(token);
            assert!(!logs.contains(signature), "a token is in the log");
            assert!(!responses.contains(signature), "a token is in a response");
        }
    }
}

fn signature(token: &str) -> &str {
    token.rsplit('.').next().unwrap_or(token)
}
