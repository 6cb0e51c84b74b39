//! Requests that are answered although their client hangs up.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use jwt_revoke_core::wire::Refusal;
use tokio::runtime::Handle;
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Instrument as _, Span, instrument::WithSubscriber as _};

use crate::response::response;

/// Answers each request on a task of its own. hyper drops the future of a request whose client hangs up: what
/// a thief or a user has asked for must be done, and reported, all the same.
///
/// A panic answers 500.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnTask;

impl<S> Layer<S> for OwnTask {
    type Service = OwnTaskService<S>;

    fn layer(&self, inner: S) -> OwnTaskService<S> {
        OwnTaskService(inner)
    }
}

/// The service of [`OwnTask`].
#[derive(Clone, Debug)]
pub(super) struct OwnTaskService<S>(S);

impl<S> Service<Request> for OwnTaskService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let answer = self.0.call(request);
        let Ok(runtime) = Handle::try_current() else {
            // Driven by another executor, which has no tasks that could be begun here.
            return Box::pin(answer);
        };
        let answer = answer.instrument(Span::current()).with_current_subscriber();
        let task = runtime.spawn(answer);
        Box::pin(async move {
            Ok(match task.await {
                Ok(Ok(response)) => response,
                // The panic hook of the process has reported it.
                Err(_) => response(Refusal::server_error()).map(Into::into),
            })
        })
    }
}
