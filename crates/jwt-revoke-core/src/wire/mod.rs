//! What is said over HTTP, decided here once as plain data and translated by the adapters.

mod challenge;
mod companion;
pub mod oauth;
mod offered;
mod refusal;
mod reply;

pub use self::{
    challenge::Challenge,
    companion::{Asked, Companion, CookiePathError, Cookies, Route, SameSite},
    offered::Offered,
    refusal::{Json, Refusal, Render},
    reply::Reply,
};
