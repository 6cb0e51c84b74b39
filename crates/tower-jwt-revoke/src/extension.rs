//! What a layer leaves in a request beside the access.

use std::{fmt, sync::Arc};

use http::Extensions;
use jwt_revoke_core::{
    Access,
    wire::{Json, Render},
};

/// The mark of a layer that let the request through, with or without a token. Only this crate can
/// make one, and extensions never come from a client.
#[derive(Clone)]
pub(crate) struct Passed {
    render: Arc<dyn Render>,
}

impl Passed {
    pub(crate) fn new(render: Arc<dyn Render>) -> Self {
        Self { render }
    }

    /// The renderer of the innermost layer that was passed.
    pub(crate) fn render(&self) -> &Arc<dyn Render> {
        &self.render
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passed").finish_non_exhaustive()
    }
}

/// What the layers outside of here have decided.
pub(crate) enum Standing<'a> {
    /// A token was checked.
    Access(&'a Access, Arc<dyn Render>),
    /// There is no token, and the layer is optional.
    Anonymous(Arc<dyn Render>),
    /// No layer was passed: our mistake, not the client's.
    NoLayer,
}

impl<'a> Standing<'a> {
    pub(crate) fn of(extensions: &'a Extensions) -> Self {
        let render = extensions.get::<Passed>().map(Passed::render).cloned();
        match (extensions.get::<Access>(), render) {
            (Some(access), Some(render)) => Self::Access(access, render),
            // Somebody asked a guard without our layer and put the proof here.
            (Some(access), None) => Self::Access(access, Arc::new(Json::new())),
            (None, Some(render)) => Self::Anonymous(render),
            (None, None) => Self::NoLayer,
        }
    }
}
