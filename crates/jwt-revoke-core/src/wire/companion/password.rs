//! Changing a password from a session that goes on.

use std::future::Future;

use futures::future::{BoxFuture, FutureExt as _};

use super::{Asked, Companion, Reply, asked::Passwords, manage::refused, temporarily, unavailable};
use crate::{Report, guard::Access, store::BoxError, token::Subject};

/// How the application changes a password. Closures that return a future implement it.
///
/// ```
/// use jwt_revoke_core::{token::Subject, wire::PasswordError};
///
/// async fn change(user: Subject, current: String, new: String) -> Result<(), PasswordError> {
///     if new.chars().count() < 12 {
///         return Err(PasswordError::Unfit("the new password needs 12 characters".into()));
///     }
///     // In one transaction: compare `current` with the hash, and store that of `new`.
///     # let stored = current == "wonderland";
///     if stored { Ok(()) } else { Err(PasswordError::Wrong) }
/// }
/// # fn example(sessions: &jwt_revoke_core::session::Sessions) {
/// let routes = jwt_revoke_core::wire::Companion::new(sessions).with_password_change(change);
/// # }
/// ```
pub trait PasswordChange: Send + Sync + 'static {
    /// Makes `new` the password of `user` if `current` is, and returns once that is kept.
    ///
    /// After a success the other sessions of the user end. If the store does not confirm that, the client
    /// repeats its request; `new` is the password by then. So a wrong `current` is asked once more with
    /// `new` in its place, and `current` and `new` being the same must not be an error of its own.
    ///
    /// Bound how often a user may be wrong, as at the login.
    ///
    /// # Errors
    ///
    /// [`PasswordError`]: nothing changed.
    fn change(
        &self,
        user: Subject,
        current: String,
        new: String,
    ) -> impl Future<Output = Result<(), PasswordError>> + Send;
}

impl<F, A> PasswordChange for F
where
    F: Fn(Subject, String, String) -> A + Send + Sync + 'static,
    A: Future<Output = Result<(), PasswordError>> + Send,
{
    fn change(
        &self,
        user: Subject,
        current: String,
        new: String,
    ) -> impl Future<Output = Result<(), PasswordError>> + Send {
        self(user, current, new)
    }
}

/// A password that was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The current password is wrong, or the user is gone: 403.
    #[error("the current password is wrong")]
    Wrong,
    /// The new password is not taken: 400 with this text, which the user sees.
    #[error("the new password is not taken: {0}")]
    Unfit(Box<str>),
    /// The application cannot tell just now: 503.
    #[error("the password could not be changed")]
    Unavailable(#[source] BoxError),
}

impl Companion {
    /// `POST /password`: the user's password changes and all of the user's sessions end but this one, with
    /// all logins that have begun. Not found where the application does not say
    /// [how](Self::with_password_change).
    ///
    /// 503 means that the password may have changed and the other sessions may live on: the client repeats
    /// the request as it is.
    pub async fn password(&self, access: &Access, asked: &Asked<'_>) -> Reply {
        match self.try_password(access, asked).await {
            Ok(()) => Reply::no_content(),
            Err(refusal) => refusal,
        }
    }

    async fn try_password(&self, access: &Access, asked: &Asked<'_>) -> Result<(), Reply> {
        self.refuse_borrowed_cookies(asked)?;
        let user = self.manager(access)?;
        let Some(application) = &self.password else {
            return Err(Reply::error(404, "not_found", "there is no such route"));
        };
        let Passwords {
            current_password: current,
            new_password: new,
        } = asked.passwords()?;
        // During an outage the password does not change either.
        let store = self.sessions.begin().await.map(drop);
        store.map_err(|error| unavailable(&error))?;
        let change = |current| application.boxed_change(user.clone(), current, new.clone());
        let mut changed = change(current).await;
        if matches!(changed, Err(PasswordError::Wrong)) && change(new.clone()).await.is_ok() {
            // A repetition: it changed before, and the rest was not confirmed.
            changed = Ok(());
        }
        changed.map_err(|error| match error {
            PasswordError::Wrong => {
                Reply::error(403, "access_denied", "the current password is wrong")
            }
            PasswordError::Unfit(reason) => Reply::error(400, "invalid_request", &reason),
            error @ PasswordError::Unavailable(_) => temporarily(Report(&error)),
        })?;
        let ended = self.sessions.password_changed(access).await;
        ended.map_err(|error| refused(self, &error))
    }
}

/// The boxed twin of [`PasswordChange`].
pub(super) trait DynPasswordChange: Send + Sync {
    fn boxed_change(
        &self,
        user: Subject,
        current: String,
        new: String,
    ) -> BoxFuture<'_, Result<(), PasswordError>>;
}

impl<P: PasswordChange> DynPasswordChange for P {
    fn boxed_change(
        &self,
        user: Subject,
        current: String,
        new: String,
    ) -> BoxFuture<'_, Result<(), PasswordError>> {
        self.change(user, current, new).boxed()
    }
}
