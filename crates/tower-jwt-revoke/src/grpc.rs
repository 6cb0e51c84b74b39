//! What handlers of tonic services ask a request.

use http::{Extensions, header::CONTENT_TYPE};
use jwt_revoke_core::{
    Access,
    token::Scope,
    wire::{Caller, Grpc, Rejection},
};
use serde::de::DeserializeOwned;
use tonic::{Request, Status, server::NamedService};

use crate::{
    RequireScopeService, RevocationService,
    response::response,
    scope::caller,
    user::{AuthRejection, AuthUser},
};

/// The access of the token that a [`RevocationLayer`](crate::RevocationLayer) has checked, in the
/// handlers of tonic services: of a [`Request`], or of its [`Extensions`] once it is taken apart.
///
/// # Errors
///
/// All methods fail with the same [`Status`], in the layer's words if it
/// [renders](crate::RevocationLayer::with_render) gRPC, and otherwise in those of
/// [`Grpc`](jwt_revoke_core::wire::Grpc):
///
/// - `INTERNAL` without a layer, since that is the application's mistake; the log says so.
/// - `UNAUTHENTICATED` when an [`optional`](crate::RevocationLayer::optional) layer let a request
///   without a token through.
///
/// ```
/// use jwt_revoke_core::{token::Scope, wire::Grpc, Guard};
/// use tonic::{Request, Response, Status};
/// use tower_jwt_revoke::{AccessExt as _, RevocationLayer};
///
/// #[derive(serde::Deserialize)]
/// struct Claims {
///     tenant: String,
/// }
///
/// async fn close(request: Request<()>) -> Result<Response<String>, Status> {
///     request.require_scope(&Scope::parse("close").unwrap())?;
///     let user = request.user::<Claims>()?;
///     let name = user.subject().map_or("nobody", |subject| subject.as_str());
///     Ok(Response::new(format!("{name} of {}", user.claims.tenant)))
/// }
///
/// fn layer(guard: Guard) -> RevocationLayer {
///     RevocationLayer::new(guard).with_render(Grpc::new())
/// }
/// ```
pub trait AccessExt: sealed::Sealed {
    /// The proof that the token was checked.
    fn access(&self) -> Result<Access, Status> {
        self.caller().access().map_err(status)
    }

    /// The user, and the application's claims in the token; `user::<NoClaims>()` if there are none.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` too when the claims do not fit `C`; the log tells the place, not the value.
    fn user<C: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<AuthUser<C>, Status> {
        self.caller().user().map(AuthUser).map_err(status)
    }

    /// The same, or `None` for a request without a token, which only an
    /// [`optional`](crate::RevocationLayer::optional) layer lets through; a bad token never gets here.
    fn maybe_user<C: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> Result<Option<AuthUser<C>>, Status> {
        let caller = self.caller().optional().map_err(status)?;
        let user = caller.map(Caller::user).transpose().map_err(status)?;
        Ok(user.map(AuthUser))
    }

    /// Refuses with `PERMISSION_DENIED` unless the token has every scope token of `required`. For
    /// all methods of a service there is [`RequireScopeLayer`](crate::RequireScopeLayer).
    fn require_scope(&self, required: &Scope) -> Result<(), Status> {
        self.caller().require_scope(required).map_err(status)
    }
}

impl<T> AccessExt for Request<T> {}

impl AccessExt for Extensions {}

mod sealed {
    use super::*;

    pub trait Sealed {
        fn caller(&self) -> Caller;
    }

    impl<T> Sealed for Request<T> {
        fn caller(&self) -> Caller {
            caller(self.extensions())
        }
    }

    impl Sealed for Extensions {
        fn caller(&self) -> Caller {
            caller(self)
        }
    }
}

/// For handlers that end in `?`.
impl From<AuthRejection> for Status {
    fn from(AuthRejection(rejection): AuthRejection) -> Self {
        status(rejection)
    }
}

/// A layered service is served under the name of the service inside.
impl<S: NamedService> NamedService for RevocationService<S> {
    const NAME: &'static str = S::NAME;
}

/// A layered service is served under the name of the service inside.
impl<S: NamedService> NamedService for RequireScopeService<S> {
    const NAME: &'static str = S::NAME;
}

#[allow(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn status(rejection: Rejection) -> Status {
    let mut headers = response(Grpc::new().rejected(&rejection))
        .into_parts()
        .0
        .headers;
    // A status brings its own; and tonic panics at details that are not base64, which a renderer of
    // the application's own may have written.
    headers.remove(CONTENT_TYPE);
    headers.remove("grpc-status-details-bin");
    Status::from_header_map(&headers)
        .unwrap_or_else(|| Status::internal("the renderer made no status"))
}
