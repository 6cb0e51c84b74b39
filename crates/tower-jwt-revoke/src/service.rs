//! The service.

use std::{
    mem,
    task::{Context, Poll},
};

use http::{Request, Response};
use jwt_revoke_core::guard::Checked;
use tower_service::Service;

use crate::{
    future::{Call, ResponseFuture},
    layer::RevocationLayer,
    response::ResponseBody,
};

/// The service that [`RevocationLayer`] makes.
#[derive(Clone, Debug)]
pub struct RevocationService<S> {
    inner: S,
    layer: RevocationLayer,
}

impl<S> RevocationService<S> {
    pub(crate) fn new(inner: S, layer: RevocationLayer) -> Self {
        Self { inner, layer }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The instance that was polled ready, which leaves a clone in its place.
    fn take_ready(&mut self) -> S
    where
        S: Clone,
    {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }

    /// The service inside, bare: what it is called with is no longer checked.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RevocationService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error; // A refusal is a response, so the error type never changes.
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let checked = self.layer.check(&parts);
        let mut request = Request::from_parts(parts, body);
        match checked {
            // Nothing to wait for: no box, no second poll, no clone.
            Checked::Now(decision) => match self.layer.admit(decision, request.extensions_mut()) {
                Ok(()) => ResponseFuture::calling(self.inner.call(request)),
                Err(refusal) => {
                    // Not called, so what it holds since it was polled ready is given back.
                    self.take_ready();
                    ResponseFuture::refused(refusal)
                }
            },
            // A round trip to the store costs more than the box.
            Checked::Later(check) => {
                let call = Call::new(self.take_ready(), request, self.layer.clone());
                ResponseFuture::checking(check, call)
            }
        }
    }
}
