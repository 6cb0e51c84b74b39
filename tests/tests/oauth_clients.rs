//! Independent OAuth clients drive the routes: authlib from Python, oauth4webapi from Node. `scripts/clients`
//! installs them.

#[path = "oauth_server/actix.rs"]
mod actix_server;
#[path = "oauth_server/axum.rs"]
mod axum_server;

use jwt_revoke_tests::{oauth_suite, oauth_suite::in_memory};

mod axum {
    use super::*;

    oauth_suite! { axum_server::serve, in_memory:
        authlib_is_content
        oauth4webapi_is_content
    }
}

mod actix {
    use super::*;

    oauth_suite! { actix_server::serve, in_memory:
        authlib_is_content
        oauth4webapi_is_content
    }
}
