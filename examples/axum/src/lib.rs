//! The routes of the program, for others to serve more beside them.

mod app;

pub use self::app::app;
