//! Methods that every adapter has, written once.
//!
//! Frameworks' traits can only be implemented for an adapter's own types, so each adapter has a
//! `RevocationLayer`, `Routes` and `AuthUser` of its own. These macros give all of them the same
//! methods. They are for the adapters of this workspace and no part of what the crate promises.

/// The methods of `RevocationLayer`, over `fn with(self, impl FnOnce(&mut Gate<_>)) -> Self` and the
/// field `gate`.
#[doc(hidden)]
#[macro_export]
macro_rules! layer_methods {
    () => {
        /// Lets a request *without* a token through; one with a bad token is still refused. Handlers
        /// tell the two apart with an optional user.
        pub fn optional(self) -> Self {
            self.with(|gate| gate.optional())
        }

        /// Renders refusals differently, those of the extractors and of
        /// [`RequireScopeLayer`](crate::RequireScopeLayer) included.
        pub fn with_render(self, render: impl $crate::wire::Render) -> Self {
            self.with(|gate| gate.with_render(render))
        }

        /// Takes the token from `Authorization: Bearer ..`, the scheme in any case. This is the
        /// default; say it to have it *beside* other places.
        pub fn from_header(self) -> Self {
            self.with(|gate| gate.from_header())
        }

        /// Takes the token from a cookie. Set it `Secure; HttpOnly; SameSite=Lax` (or `Strict`), best
        /// under a `__Host-` name.
        ///
        /// Browsers send cookies whatever page causes a request. So a request whose token is in a
        /// cookie alone, and that changes state (every method but `GET`, `HEAD`, `OPTIONS`, `TRACE`)
        /// or opens a WebSocket, must come from this origin or one that was
        /// [named](Self::with_origin); else it is 403 `access_denied`. How that is told is at
        /// [`Cookies`](jwt_revoke_core::wire::Cookies). An application with a defence of its own
        /// reads its cookie by [`from_fn`](Self::from_fn).
        ///
        /// # Panics
        ///
        /// When no cookie can have that name (RFC 6265 §4.1.1).
        pub fn from_cookie(self, name: impl Into<::std::sync::Arc<str>>) -> Self {
            self.with(|gate| gate.from_cookie(name))
        }

        /// Takes the token from the access cookie of the companion routes, and trusts the origins that
        /// are named there; see [`from_cookie`](Self::from_cookie).
        pub fn from_cookies(self, cookies: &$crate::wire::Cookies) -> Self {
            self.with(|gate| gate.from_cookies(cookies))
        }

        /// Trusts pages of another origin to change state by a [cookie](Self::from_cookie).
        pub fn with_origin(self, origin: $crate::wire::Origin) -> Self {
            self.with(|gate| gate.with_origin(origin))
        }

        /// Refuses with 403 `insufficient_scope` unless the token has all of `scope`. Said twice, it
        /// takes both. A request without a token is refused even where the layer is
        /// [`optional`](Self::optional).
        pub fn require_scope(self, scope: $crate::token::Scope) -> Self {
            self.with(|gate| gate.require_scope(scope))
        }

        /// The guard that is asked.
        pub fn guard(&self) -> &$crate::Guard {
            self.gate.guard()
        }
    };
}

/// The methods of `Routes`, over the fields `companion` and `layer`.
#[doc(hidden)]
#[macro_export]
#[allow(clippy::crate_in_macro_def, reason = "the layer is the adapter's own")]
macro_rules! routes_methods {
    () => {
        /// All of them, over tokens in `Authorization: Bearer ..` and in bodies.
        pub fn new(sessions: &$crate::session::Sessions) -> Self {
            Self {
                companion: $crate::wire::Companion::new(sessions),
                layer: crate::RevocationLayer::new(sessions.guard().clone()),
            }
        }

        /// Leaves a route out.
        pub fn without(mut self, route: $crate::wire::Route) -> Self {
            self.companion = self.companion.without(route);
            self
        }

        /// The clients that are first party; see
        /// [`Companion::with_clients`](jwt_revoke_core::wire::Companion::with_clients).
        ///
        /// # Panics
        ///
        /// When there are none, or one without a name.
        pub fn with_clients<C: Into<$crate::token::ClientId>>(
            mut self,
            clients: impl IntoIterator<Item = C>,
        ) -> Self {
            self.companion = self.companion.with_clients(clients);
            self
        }

        /// Also takes tokens from cookies and hands them out there; see
        /// [`Cookies`](jwt_revoke_core::wire::Cookies). The routes that the cookie is to open need
        /// [`RevocationLayer::from_cookies`](crate::RevocationLayer::from_cookies), the login needs
        /// [`SameOrigin`](crate::SameOrigin).
        pub fn with_cookies(mut self, cookies: $crate::wire::Cookies) -> Self {
            self.layer = self.layer.from_header().from_cookies(&cookies);
            self.companion = self.companion.with_cookies(cookies);
            self
        }

        /// Serves `POST /password`: `change` checks and sets the password, then the user's other sessions
        /// end; see [`PasswordChange`](jwt_revoke_core::wire::PasswordChange).
        pub fn with_password_change(mut self, change: impl $crate::wire::PasswordChange) -> Self {
            self.companion = self.companion.with_password_change(change);
            self
        }

        /// Changes the layer that checks the access tokens of these routes: other places for tokens,
        /// refusals in other words, such as
        /// `.with_layer(|layer| layer.with_render(Json::new().with_realm("shop")))`.
        pub fn with_layer(
            mut self,
            change: impl FnOnce(crate::RevocationLayer) -> crate::RevocationLayer,
        ) -> Self {
            self.layer = change(self.layer);
            self.companion = self.companion.with_render(self.layer.render());
            self
        }

        /// The sessions.
        pub fn sessions(&self) -> &$crate::session::Sessions {
            self.companion.sessions()
        }
    };
}

/// What `AuthUser` of every adapter is: a [`User`](crate::wire::User) of its own.
#[doc(hidden)]
#[macro_export]
macro_rules! user_traits {
    ($user:ident) => {
        impl<C> ::std::ops::Deref for $user<C> {
            type Target = $crate::wire::User<C>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl<C> Clone for $user<C> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<C> ::std::fmt::Debug for $user<C> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_tuple(stringify!($user)).field(&self.0).finish()
            }
        }
    };
}
