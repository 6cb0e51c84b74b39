//! What is said over HTTP, decided here once as plain data and translated by the adapters.

mod challenge;
mod offered;
mod refusal;

pub use self::{
    challenge::Challenge,
    offered::Offered,
    refusal::{Json, Refusal, Render},
};
