//! What is said over HTTP, decided here once as plain data and translated by the adapters.

mod challenge;
mod companion;
mod offered;
mod refusal;

pub use self::{
    challenge::Challenge,
    companion::{Asked, Companion, CookiePathError, Cookies, Reply, Route, SameSite},
    offered::Offered,
    refusal::{Json, Refusal, Render},
};
