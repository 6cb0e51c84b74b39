//! Routes to mount in an axum router.

mod companion;
mod logout;
mod oauth;
mod same_origin;
mod task;

pub use self::{
    companion::{Routes, routes},
    logout::{logout_route, logout_route_behind},
    oauth::{oauth_routes, well_known},
    same_origin::SameOrigin,
};
