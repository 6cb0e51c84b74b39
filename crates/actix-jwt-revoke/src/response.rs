//! Responses in the words of actix-web, which has an `http` of its own: the one place that
//! translates.

use actix_web::{HttpResponse, http::StatusCode};
use jwt_revoke_core::wire::Reply;

/// A reply, or a refusal.
pub(crate) fn response(reply: impl Into<Reply>) -> HttpResponse {
    let reply = reply.into().sendable();
    let status = StatusCode::from_u16(reply.status);
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    for header in reply.headers {
        response.append_header(header);
    }
    response.body(reply.body)
}
