//! Middleware: one that checks tokens, one that asks for a scope.

mod future;
mod layer;
mod scope;
mod service;

pub use self::{
    future::ResponseFuture,
    layer::RevocationLayer,
    scope::{RequireScopeLayer, RequireScopeService},
    service::RevocationService,
};
