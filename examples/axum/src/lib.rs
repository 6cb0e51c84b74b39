//! The routes of the program, for others to serve more beside them.

mod app;
mod socket;

pub use self::app::app;
