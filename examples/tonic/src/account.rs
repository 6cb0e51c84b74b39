//! The methods of the service.

use axum::Router;
use futures::stream::BoxStream;
use jwt_revoke_core::{Access, Guard, token::Scope, wire::Grpc};
use tonic::{Request, Response, Status, Streaming};
use tower_jwt_revoke::{AccessExt as _, RevocationLayer};

use crate::proto::{
    AuditReply, AuditRequest, EchoMessage, MeReply, MeRequest,
    account_server::{self, AccountServer},
};

/// The gRPC routes, to be merged with others: their paths are those of the service, and nobody
/// else's. Each call is checked before its handler runs.
pub fn grpc(guard: Guard) -> Router {
    let layer = RevocationLayer::new(guard).with_render(Grpc::new());
    let path = format!("/{}/{{method}}", account_server::SERVICE_NAME);
    Router::new()
        .route_service(&path, AccountServer::new(Account))
        .route_layer(layer)
}

struct Account;

#[tonic::async_trait]
impl account_server::Account for Account {
    async fn me(&self, request: Request<MeRequest>) -> Result<Response<MeReply>, Status> {
        let access = request.access()?;
        Ok(Response::new(MeReply {
            sub: subject(&access),
            sid: access
                .session()
                .map(ToString::to_string)
                .unwrap_or_default(),
            jti: access.jti().map(ToString::to_string).unwrap_or_default(),
            exp: access.expires_at().whole_seconds(),
        }))
    }

    type EchoStream = BoxStream<'static, Result<EchoMessage, Status>>;

    async fn echo(
        &self,
        request: Request<Streaming<EchoMessage>>,
    ) -> Result<Response<Self::EchoStream>, Status> {
        Ok(Response::new(Box::pin(request.into_inner())))
    }

    async fn audit(&self, request: Request<AuditRequest>) -> Result<Response<AuditReply>, Status> {
        let scope = Scope::parse("audit").ok_or_else(|| Status::internal("no such scope"))?;
        request.require_scope(&scope)?;
        let auditor = subject(&request.access()?);
        Ok(Response::new(AuditReply { auditor }))
    }
}

fn subject(access: &Access) -> String {
    access
        .subject()
        .map(ToString::to_string)
        .unwrap_or_default()
}
