//! Asking the application whether a user is still welcome.

use std::future::Future;

use futures::future::{BoxFuture, FutureExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    session::Grant,
    store::BoxError,
    token::{ClientId, Scope, SessionId, Subject},
};

/// Asked at each refresh, before the token is spent: is this user still welcome, and with which
/// claims? Closures that return a future implement it.
pub trait RefreshHook: Send + Sync + 'static {
    /// The answer, within the time limit of the sessions it is given to.
    ///
    /// # Errors
    ///
    /// Any error means "cannot tell": the client is told to try again, nothing changes, and its
    /// refresh token still works.
    fn welcome(
        &self,
        refreshing: Refreshing,
    ) -> impl Future<Output = Result<Welcome, BoxError>> + Send;
}

impl<F, Fut> RefreshHook for F
where
    F: Fn(Refreshing) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Welcome, BoxError>> + Send,
{
    fn welcome(
        &self,
        refreshing: Refreshing,
    ) -> impl Future<Output = Result<Welcome, BoxError>> + Send {
        self(refreshing)
    }
}

/// Whether a user is still welcome.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Welcome {
    /// Yes, with the scope and claims of the login.
    Unchanged,
    /// Yes, with this scope and these claims from now on. Client and device stay.
    With(Grant),
    /// No: the session ends, and its access tokens with it.
    Refuse,
}

/// A session about to be refreshed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refreshing {
    /// Whose session it is.
    pub subject: Subject,
    /// Which one.
    pub session: SessionId,
    /// The client it was opened for.
    pub client: ClientId,
    /// What its tokens may be used for.
    pub scope: Scope,
    pub(super) claims: Map<String, Value>,
}

impl Refreshing {
    /// The application's own claims, as the login or the last refresh granted them.
    ///
    /// # Errors
    ///
    /// When they do not have that shape.
    pub fn claims<C: DeserializeOwned>(&self) -> Result<C, BoxError> {
        Ok(serde_json::from_value(Value::Object(self.claims.clone()))?)
    }
}

/// The boxed twin of [`RefreshHook`].
pub(super) trait DynRefreshHook: Send + Sync {
    fn boxed_welcome(&self, refreshing: Refreshing) -> BoxFuture<'_, Result<Welcome, BoxError>>;
}

impl<H: RefreshHook> DynRefreshHook for H {
    fn boxed_welcome(&self, refreshing: Refreshing) -> BoxFuture<'_, Result<Welcome, BoxError>> {
        self.welcome(refreshing).boxed()
    }
}
