//! The future of a response.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{Error, body::EitherBody, dev::ServiceResponse};
use pin_project_lite::pin_project;

pin_project! {
    /// The future of the services in this crate.
    ///
    /// Dropping it drops the question to the store and the inner service's future with it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B> {
        /// The inner service was called.
        Calling { #[pin] response: F },
        /// The store was asked; the call comes after.
        Waiting { response: Pin<Box<dyn Future<Output = Answer<B>>>> },
        /// The request was refused.
        Refused { response: Option<ServiceResponse> },
    }
}

type Answer<B> = Result<ServiceResponse<EitherBody<B>>, Error>;

impl<F, B> ResponseFuture<F, B> {
    pub(super) fn calling(response: F) -> Self {
        State::Calling { response }.into()
    }

    pub(super) fn waiting(response: impl Future<Output = Answer<B>> + 'static) -> Self {
        let response = Box::pin(response);
        State::Waiting { response }.into()
    }

    pub(super) fn refused(response: ServiceResponse) -> Self {
        let response = Some(response);
        State::Refused { response }.into()
    }
}

impl<F, B> From<State<F, B>> for ResponseFuture<F, B> {
    fn from(state: State<F, B>) -> Self {
        Self { state }
    }
}

impl<F, B> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = Answer<B>;

    /// # Panics
    ///
    /// When polled again after it is complete.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<B>> {
        match self.project().state.project() {
            StateProj::Calling { response } => response
                .poll(cx)
                .map_ok(ServiceResponse::map_into_left_body),
            StateProj::Waiting { response } => response.as_mut().poll(cx),
            StateProj::Refused { response } => {
                let response = response.take().expect("polled after completion");
                Poll::Ready(Ok(response.map_into_right_body()))
            }
        }
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
