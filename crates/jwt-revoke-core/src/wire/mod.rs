//! What is said over HTTP, decided here once as plain data and translated by the adapters.
//!
//! An adapter for another framework asks a [`Gate`] in front of routes and a [`Caller`] in
//! extractors, mounts the routes of [`Companion`] and [`oauth::OAuth`], and turns each [`Reply`] and
//! [`Refusal`] into a response.
//!
//! It runs these routes, the gate in front of them included, on tasks of their own: many frameworks drop the
//! future of a request whose client hangs up, and what was asked for must be done and reported.

mod adapter;
mod caller;
mod challenge;
mod companion;
mod cross_origin;
mod gate;
mod grpc;
pub mod oauth;
mod offered;
mod origin;
mod refusal;
mod rejection;
mod renderer;
mod reply;
mod user;

pub use self::{
    caller::{Caller, Passed},
    challenge::Challenge,
    companion::{
        Asked, Companion, CookiePathError, Cookies, PasswordChange, PasswordError, Route, SameSite,
    },
    cross_origin::CrossOrigin,
    gate::{Admitted, Field, Gate},
    grpc::{Grpc, GrpcCode},
    offered::Offered,
    origin::{Origin, OriginError},
    refusal::{Json, Refusal, Render},
    rejection::{MissingAccess, Rejection},
    renderer::Renderer,
    reply::Reply,
    user::User,
};
