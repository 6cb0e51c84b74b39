//! Routes to mount in an axum router.

mod companion;
mod logout;

pub use self::{
    companion::{Routes, routes},
    logout::{logout_route, logout_route_behind},
};
