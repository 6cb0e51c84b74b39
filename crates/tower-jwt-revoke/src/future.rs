//! The future of a response, one state for each wait.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use jwt_revoke_core::{Access, Denied, wire::Refusal};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    layer::RevocationLayer,
    response::{ResponseBody, response},
};

pin_project! {
    /// The future of the services in this crate.
    ///
    /// Dropping it drops the question to the store and the inner service's future with it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<S, ReqBody>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        /// The store was asked.
        Checking { check: Check, call: Option<Call<S, ReqBody>> },
        /// The inner service was called.
        Calling { #[pin] response: S::Future },
        /// The request was refused.
        Refused { refusal: Option<Refusal> },
    }
}

type Check = Pin<Box<dyn Future<Output = Result<Access, Denied>> + Send>>;

impl<S, ReqBody> ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    /// The decision is on its way.
    pub(crate) fn checking(check: Check, call: Call<S, ReqBody>) -> Self {
        let call = Some(call);
        let state = State::Checking { check, call };
        Self { state }
    }

    pub(crate) fn calling(response: S::Future) -> Self {
        let state = State::Calling { response };
        Self { state }
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        let refusal = Some(refusal);
        let state = State::Refused { refusal };
        Self { state }
    }
}

impl<S, ReqBody, ResBody> Future for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    /// # Panics
    ///
    /// When polled again after it is complete.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Checking { check, call } => {
                    let decision = ready!(check.as_mut().poll(cx));
                    let call = call.take().expect("polled after completion");
                    this.state.set(call.decide(decision));
                }
                StateProj::Calling { response: inner } => {
                    let inner = ready!(inner.poll(cx))?;
                    return Poll::Ready(Ok(inner.map(ResponseBody::inner)));
                }
                StateProj::Refused { refusal } => {
                    let refusal = refusal.take().expect("polled after completion");
                    return Poll::Ready(Ok(response(refusal).map(ResponseBody::refusal)));
                }
            }
        }
    }
}

impl<S, ReqBody> fmt::Debug for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// The call that is made if the request is let through.
pub(crate) struct Call<S, ReqBody> {
    inner: S,
    request: Request<ReqBody>,
    layer: RevocationLayer,
}

impl<S, ReqBody> Call<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(crate) fn new(inner: S, request: Request<ReqBody>, layer: RevocationLayer) -> Self {
        Self {
            inner,
            request,
            layer,
        }
    }

    fn decide(mut self, decision: Result<Access, Denied>) -> State<S, ReqBody> {
        match self.layer.admit(decision, self.request.extensions_mut()) {
            Ok(()) => State::Calling {
                response: self.inner.call(self.request),
            },
            Err(refusal) => State::Refused {
                refusal: Some(refusal),
            },
        }
    }
}
