//! gRPC: the layer in front of services of tonic, asked by a generated client over loopback.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod calls;
mod handlers;
mod refusals;
mod streams;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use example_tonic::proto::{
    AuditReply, AuditRequest, EchoMessage, MeReply, MeRequest,
    account_client::AccountClient,
    account_server::{Account, AccountServer},
};
use futures::{StreamExt as _, stream::BoxStream};
use jwt_revoke_core::{Guard, session::Issued, token::Scope, wire::Grpc};
use jwt_revoke_tests::http_suite::Fixture;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tower_jwt_revoke::{AccessExt as _, RevocationLayer};
use tower_layer::Layer as _;

type Client = AccountClient<Channel>;

/// A service whose `Me` answers what a function of the test makes of the request.
#[derive(Clone)]
struct Probe {
    me: fn(&Request<MeRequest>) -> Result<String, Status>,
    /// How many calls got here.
    calls: Arc<AtomicUsize>,
}

impl Probe {
    fn new(me: fn(&Request<MeRequest>) -> Result<String, Status>) -> Self {
        let calls = Arc::default();
        Self { me, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

#[tonic::async_trait]
impl Account for Probe {
    async fn me(&self, request: Request<MeRequest>) -> Result<Response<MeReply>, Status> {
        self.calls.fetch_add(1, SeqCst);
        let sub = (self.me)(&request)?;
        Ok(Response::new(MeReply {
            sub,
            ..MeReply::default()
        }))
    }

    type EchoStream = BoxStream<'static, Result<EchoMessage, Status>>;

    async fn echo(
        &self,
        request: Request<Streaming<EchoMessage>>,
    ) -> Result<Response<Self::EchoStream>, Status> {
        self.calls.fetch_add(1, SeqCst);
        // Taken apart, as handlers of streams do.
        let (_, extensions, messages) = request.into_parts();
        extensions.access()?;
        Ok(Response::new(messages.boxed()))
    }

    async fn audit(&self, request: Request<AuditRequest>) -> Result<Response<AuditReply>, Status> {
        self.calls.fetch_add(1, SeqCst);
        request.require_scope(&scope("audit"))?;
        Ok(Response::new(AuditReply::default()))
    }
}

/// Answers the subject.
fn subject(request: &Request<MeRequest>) -> Result<String, Status> {
    let access = request.access()?;
    Ok(access.subject().unwrap().to_string())
}

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

fn layer(guard: &Guard) -> RevocationLayer {
    RevocationLayer::new(guard.clone()).with_render(Grpc::new())
}

/// A free port, for a server and its client.
async fn port() -> (TcpIncoming, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    (TcpIncoming::from(listener), endpoint)
}

async fn client(endpoint: Endpoint) -> Client {
    AccountClient::new(endpoint.connect().await.unwrap())
}

/// A client of a server of tonic that runs `router`.
async fn client_of(router: tonic::transport::server::Router) -> Client {
    let (incoming, endpoint) = port().await;
    tokio::spawn(router.serve_with_incoming(incoming));
    client(endpoint).await
}

/// A client of `probe` behind a layer.
async fn behind(layer: RevocationLayer, probe: &Probe) -> Client {
    let service = layer.layer(AccountServer::new(probe.clone()));
    client_of(Server::builder().add_service(service)).await
}

/// A client of a service that answers the subject, behind the layer of a fixture.
async fn guarded(fixture: &Fixture) -> Client {
    behind(layer(&fixture.guard), &Probe::new(subject)).await
}

/// A call with a token.
fn with<T>(token: &Issued, message: T) -> Request<T> {
    with_text(token.token(), message)
}

fn with_text<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}
