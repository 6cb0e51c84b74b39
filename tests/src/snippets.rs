//! The Rust of the readmes and of docs/, compiled and run as doc tests: `cargo test --doc`.
//!
//! `tests/docs.rs` compares this list with the pages, so that none is left out.

macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        $(#[doc = include_str!($page)] struct $name;)*
    };
}

pages! {
    Readme: "../../README.md",
    Core: "../../crates/jwt-revoke-core/README.md",
    Tower: "../../crates/tower-jwt-revoke/README.md",
    Actix: "../../crates/actix-jwt-revoke/README.md",
    Backup: "../../docs/backup.md",
    Keys: "../../docs/keys.md",
    Metrics: "../../docs/metrics.md",
}
