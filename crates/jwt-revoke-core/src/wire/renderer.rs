//! What renders refusals.

use std::{fmt, sync::Arc};

use crate::{
    Denied,
    wire::{Json, Refusal, Render},
};

/// What renders the refusals of a layer, and of the extractors behind it: [`Json`] without a realm, or a
/// renderer of the application's own. Cheap to clone.
///
/// Each request bears it along. The usual one is no pointer, since a count of references that every request
/// changes goes to and fro between the cores.
#[derive(Clone, Default)]
pub struct Renderer(Option<Arc<dyn Render>>);

impl Renderer {
    /// The application's own.
    pub fn new(render: impl Render) -> Self {
        Self(Some(Arc::new(render)))
    }
}

impl Render for Renderer {
    fn render(&self, denied: &Denied) -> Refusal {
        match &self.0 {
            Some(own) => own.render(denied),
            None => Json::new().render(denied),
        }
    }
}

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            Some(_) => "own",
            None => "json",
        };
        f.debug_tuple("Renderer").field(&name).finish()
    }
}
