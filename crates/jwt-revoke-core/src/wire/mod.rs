//! What is said over HTTP, decided here once as plain data and translated by the adapters.

mod challenge;
mod refusal;

pub use self::{
    challenge::Challenge,
    refusal::{Json, Refusal, Render},
};
