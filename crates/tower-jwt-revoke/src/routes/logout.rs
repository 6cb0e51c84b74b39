//! `POST /logout`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use jwt_revoke_core::{
    Denied, Guard, Report,
    guard::{RevokeError, Target},
    wire::Refusal,
};

use crate::{AuthUser, response::response};

/// Ends the session of the token at hand, or revokes the token alone when it has no session.
///
/// Says 204 only when the store has confirmed it: whoever was told that the session is over does not
/// look again.
pub(super) async fn logout(State(guard): State<Guard>, user: AuthUser) -> Response {
    let target = Target::logout(&user.access).because("logout");
    match guard.revoke(target).await {
        Ok(_) => {
            let no_store = HeaderValue::from_static("no-store");
            (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, no_store)]).into_response()
        }
        Err(RevokeError::Store(error)) => {
            user.deny(Denied::StoreUnavailable(error)).into_response()
        }
        // The token has nothing to revoke it by, which the verifier was told to allow.
        Err(error) => {
            tracing::error!(error = %Report(&error), "a logout did not happen");
            response(Refusal::server_error()).map(Into::into)
        }
    }
}
