//! The routes by name.

/// A companion route, so that adapters mount the same ones and each can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// `POST /refresh`.
    Refresh,
    /// `POST /logout`.
    Logout,
    /// `POST /logout-all`.
    LogoutAll,
    /// `POST /logout-others`.
    LogoutOthers,
    /// `POST /password`. Served where the application says how a password is changed:
    /// [`Companion::with_password_change`](super::Companion::with_password_change).
    Password,
    /// `GET /sessions`.
    List,
    /// `DELETE /sessions/{sid}`.
    End,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Refresh,
        Self::Logout,
        Self::LogoutAll,
        Self::LogoutOthers,
        Self::Password,
        Self::List,
        Self::End,
    ];

    /// Its path, below wherever the routes are mounted.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Refresh => "/refresh",
            Self::Logout => "/logout",
            Self::LogoutAll => "/logout-all",
            Self::LogoutOthers => "/logout-others",
            Self::Password => "/password",
            Self::List => "/sessions",
            Self::End => "/sessions/{sid}",
        }
    }

    /// Its method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Refresh
            | Self::Logout
            | Self::LogoutAll
            | Self::LogoutOthers
            | Self::Password => "POST",
            Self::List => "GET",
            Self::End => "DELETE",
        }
    }

    /// Whether it takes an access token that works, so that a layer checks it. The others look at
    /// their tokens themselves.
    pub const fn is_behind_layer(self) -> bool {
        !matches!(self, Self::Refresh | Self::Logout)
    }
}
