//! The suite of the OAuth routes, over axum.

#[path = "oauth_server/axum.rs"]
mod server;

use jwt_revoke_tests::{
    oauth_suite,
    oauth_suite::{in_memory, patient_redis},
};

mod embedded {
    use super::*;

    oauth_suite!(server::serve, in_memory);
}

mod redis {
    use super::*;

    oauth_suite!(server::serve, patient_redis);
}
