//! Requests that are answered although their client hangs up.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    middleware::Next,
    rt,
};
use jwt_revoke_core::wire::Refusal;
use tracing::{Instrument as _, Span, instrument::WithSubscriber as _};

use crate::response::response;

/// Answers a request on a task of its own. A server drops the future of a request whose client hangs up: what
/// a thief or a user has asked for must be done, and reported, all the same.
///
/// A panic answers 500.
pub(super) async fn on_own_task<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let answer = next.call(request);
    let answer = answer.instrument(Span::current()).with_current_subscriber();
    match rt::spawn(answer).await {
        Ok(answer) => answer,
        // The panic hook of the process has reported it.
        Err(error) => {
            let answer = response(Refusal::server_error());
            Err(InternalError::from_response(error, answer).into())
        }
    }
}
