//! What types promise without saying so. This compiles or it does not.

use std::error::Error;

use jwt_revoke_core::wire::{Gate, Passed, Rejection, User};
use jwt_revoke_core::{
    Access, Clock, Denied, Guard, Issuer, SystemClock, Verifier,
    guard::{CacheStats, Checked, ClaimsError, Ended, Ending, GuardBuilder, RevokeError, Target},
    session::{Grant, GrantError, IssueError, Issued},
    store::{
        AnyStore, EmbeddedBuilder, EmbeddedStore, RedisBuilder, RedisStore, Revocation, StoreError,
    },
    token::{InvalidScope, Registered, Scope},
    verify::{
        KeyError, KeySet, KeySetError, SignError, SigningKey, VerificationKey, Verified,
        VerifyError,
    },
    wire::{Grpc, GrpcCode, Json, Refusal, Render},
};
use tower_jwt_revoke::{
    AuthRejection, AuthUser, MissingAccess, RequireScopeLayer, RequireScopeService, ResponseBody,
    ResponseFuture, RevocationLayer, RevocationService, Token,
};

fn shared<T: Send + Sync + Unpin + 'static>() {}
fn handle<T: Clone + Send + Sync + Unpin + 'static>() {}
fn sent<T: Send + 'static>() {}
fn error<T: Error + Send + Sync + 'static>() {}

/// A service, of which only the type is used.
type Inner = tower::util::BoxCloneSyncService<
    http::Request<()>,
    http::Response<http_body_util::Empty<bytes::Bytes>>,
    std::convert::Infallible,
>;

#[test]
fn what_an_application_holds_is_cheap_to_clone_and_may_be_used_from_any_thread() {
    handle::<Guard>();
    handle::<AnyStore>();
    handle::<EmbeddedStore>();
    handle::<RedisStore>();
    handle::<Verifier>();
    handle::<Issuer>();
    handle::<Access>();
    handle::<RevocationLayer>();
    handle::<RequireScopeLayer>();
    handle::<RevocationService<Inner>>();
    handle::<RequireScopeService<Inner>>();
    handle::<AuthUser>();
    handle::<Token>();
    handle::<actix_jwt_revoke::RevocationLayer>();
    handle::<actix_jwt_revoke::RequireScopeLayer>();
    handle::<actix_jwt_revoke::Routes>();
    handle::<actix_jwt_revoke::AuthUser>();
    handle::<actix_jwt_revoke::MaybeAuthUser>();
    handle::<actix_jwt_revoke::Token>();
    handle::<Gate<std::rc::Rc<()>>>();
    handle::<User>();
    handle::<Passed>();
}

#[test]
fn values_may_be_used_from_any_thread() {
    handle::<Target>();
    handle::<Grant>();
    handle::<Issued>();
    handle::<Revocation>();
    handle::<Scope>();
    handle::<Registered>();
    shared::<Verified>();
    handle::<KeySet>();
    handle::<SigningKey>();
    handle::<VerificationKey>();
    handle::<RedisBuilder>();
    shared::<EmbeddedBuilder>();
    shared::<GuardBuilder>();
    handle::<CacheStats>();
    shared::<SystemClock>();
    shared::<Json>();
    handle::<Grpc>();
    handle::<GrpcCode>();
    shared::<Refusal>();
    shared::<Box<dyn Clock>>();
    shared::<Box<dyn Render>>();
    shared::<ResponseBody<http_body_util::Empty<bytes::Bytes>>>();
}

#[test]
fn what_is_awaited_may_move_to_another_thread() {
    sent::<Checked>();
    sent::<<Checked as IntoFuture>::IntoFuture>();
    sent::<ResponseFuture<Inner, ()>>();
    // To be polled by `&mut` beside a socket.
    fn beside<T: Send + Unpin + 'static>() {}
    beside::<Ending>();
}

#[test]
fn errors_travel_in_boxes_between_threads() {
    error::<StoreError>();
    error::<Denied>();
    error::<Ended>();
    error::<RevokeError>();
    error::<IssueError>();
    error::<GrantError>();
    error::<ClaimsError>();
    error::<VerifyError>();
    error::<KeyError>();
    error::<KeySetError>();
    error::<SignError>();
    error::<InvalidScope>();
    error::<MissingAccess>();
    error::<AuthRejection>();
    error::<actix_jwt_revoke::AuthRejection>();
    error::<Rejection>();
}
