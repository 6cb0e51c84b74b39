//! Who is asking, by what layers have left in a request.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{
    Access, Denied,
    token::Scope,
    wire::{MissingAccess, Rejection, Renderer, User},
};

/// The mark of a layer that let a request without a token through. It stands in the request's
/// extensions, which never come from a client.
#[derive(Clone)]
pub struct Passed {
    render: Renderer,
}

impl Passed {
    pub(super) fn new(render: Renderer) -> Self {
        Self { render }
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passed").finish_non_exhaustive()
    }
}

/// Who is asking, as far as the layers outside of a handler have found out.
pub struct Caller(Kind);

enum Kind {
    /// A token was checked.
    Known(Access, Renderer),
    /// There is no token, and the layer is optional.
    Anonymous(Renderer),
    /// No layer was passed: our mistake, not the client's.
    NoLayer,
}

impl Caller {
    /// By what is in the extensions of the request.
    pub fn of(access: Option<&Access>, passed: Option<&Passed>) -> Self {
        let passed = passed.map(|passed| &passed.render);
        let render = access.and_then(Access::render).or(passed);
        Self(match (access.cloned(), render.cloned()) {
            (Some(access), Some(render)) => Kind::Known(access, render),
            // Somebody asked a guard without our layer and put the proof here.
            (Some(access), None) => Kind::Known(access, Renderer::default()),
            (None, Some(render)) => Kind::Anonymous(render),
            (None, None) => Kind::NoLayer,
        })
    }

    /// The proof that a token was checked.
    ///
    /// # Errors
    ///
    /// As of [`user`](Self::user), claims aside.
    pub fn access(self) -> Result<Access, Rejection> {
        self.known().map(|(access, _)| access)
    }

    /// The user, and the application's claims.
    ///
    /// # Errors
    ///
    /// [`Rejection::MissingAccess`] without a layer. [`Rejection::Denied`] when an optional layer let
    /// a request without a token through, or when the claims do not fit `C`.
    pub fn user<C: DeserializeOwned + Send + Sync + 'static>(self) -> Result<User<C>, Rejection> {
        let (access, render) = self.known()?;
        User::new(access, render)
    }

    /// The same, or nobody for a request without a token.
    ///
    /// # Errors
    ///
    /// [`Rejection::MissingAccess`] without a layer.
    pub fn optional(self) -> Result<Option<Self>, Rejection> {
        match self.0 {
            Kind::Known(..) => Ok(Some(self)),
            Kind::Anonymous(_) => Ok(None),
            Kind::NoLayer => Err(MissingAccess::new().into()),
        }
    }

    /// Refuses unless the token has all of a scope.
    ///
    /// # Errors
    ///
    /// [`Rejection::Denied`] with 403 `insufficient_scope`, and those of [`access`](Self::access).
    pub fn require_scope(self, scope: &Scope) -> Result<(), Rejection> {
        let (access, render) = self.known()?;
        let decision = access.require_scope(scope);
        decision.map_err(|denied| Rejection::denied(denied, &render))
    }

    fn known(self) -> Result<(Access, Renderer), Rejection> {
        match self.0 {
            Kind::Known(access, render) => Ok((access, render)),
            Kind::Anonymous(render) => Err(Rejection::denied(Denied::Missing, &render)),
            Kind::NoLayer => Err(MissingAccess::new().into()),
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Known(access, _) => f.debug_tuple("Known").field(access).finish(),
            Kind::Anonymous(_) => f.write_str("Anonymous"),
            Kind::NoLayer => f.write_str("NoLayer"),
        }
    }
}
