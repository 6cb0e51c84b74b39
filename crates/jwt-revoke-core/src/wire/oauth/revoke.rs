//! `POST /revoke` (RFC 7009).

use super::{
    OAuth, Reply,
    form::{Form, FormRequest},
    refused::{Refused, settle},
};
use crate::session::EndError;

impl OAuth {
    /// `POST /revoke` (RFC 7009): a refresh token of any generation, lapsed or not, ends its session
    /// with all its tokens; an access token dies alone. `token_type_hint` is not needed and not
    /// trusted.
    ///
    /// 200 without a body, also for a token that is not ours, which cannot be distinguished from nonsense: the
    /// client cannot do anything about it (§2.2). A genuine token is revoked whether or not it is in
    /// force, whatever lifetimes it was issued under. Another client's token is `invalid_grant`, and
    /// nothing is revoked (§2.1). 503 when the store did not confirm: the token may still work.
    pub async fn revoke(&self, request: &FormRequest<'_>) -> Reply {
        settle(self.try_revoke(request).await)
    }

    async fn try_revoke(&self, request: &FormRequest<'_>) -> Result<Reply, Refused> {
        let form = Form::read(request)?;
        let client = self.authenticate(request, &form)?;
        let token = form
            .get("token")
            .ok_or(Refused::InvalidRequest("the token is missing"))?;
        match self.sessions.revoke_token(token, Some(client.id())).await {
            Ok(()) | Err(EndError::Invalid(_)) => Ok(Reply::empty()),
            Err(EndError::OtherClient) => Err(Refused::InvalidGrant),
            Err(
                error @ (EndError::Store(_)
                | EndError::NotFound
                | EndError::Ended
                | EndError::Subject),
            ) => Err(Refused::unavailable(&error)),
        }
    }
}
