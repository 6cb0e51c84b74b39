//! The service of a worker.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error,
    body::EitherBody,
    dev::{Service, ServiceRequest, ServiceResponse},
};
use jwt_revoke_core::guard::Checked;

use super::{ResponseFuture, RevocationLayer};
use crate::response::response;

/// The service that [`RevocationLayer`] makes, one for each worker. All ask the same guard.
#[derive(Debug)]
pub struct RevocationService<S> {
    inner: Rc<S>,
    layer: RevocationLayer,
}

impl<S> RevocationService<S> {
    pub(super) fn new(inner: S, layer: RevocationLayer) -> Self {
        let inner = Rc::new(inner);
        Self { inner, layer }
    }
}

impl<S, B> Service<ServiceRequest> for RevocationService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        match self.layer.check(request.request()) {
            // Nothing to wait for: no box.
            Checked::Now(decision) => match self.layer.admit(decision, &request) {
                Ok(()) => ResponseFuture::calling(self.inner.call(request)),
                Err(refusal) => ResponseFuture::refused(request.into_response(response(refusal))),
            },
            // A round trip to the store costs more than the box.
            Checked::Later(check) => {
                let (inner, layer) = (Rc::clone(&self.inner), self.layer.clone());
                ResponseFuture::waiting(async move {
                    if let Err(refusal) = layer.admit(check.await, &request) {
                        let refused = request.into_response(response(refusal));
                        return Ok(refused.map_into_right_body());
                    }
                    Ok(inner.call(request).await?.map_into_left_body())
                })
            }
        }
    }
}
