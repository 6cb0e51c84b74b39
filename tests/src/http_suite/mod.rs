//! One suite for all adapters, over a real server.
//!
//! An adapter gives [`http_suite!`](crate::http_suite!) a function that serves these routes over a
//! [`Fixture`] on a free port of the loopback interface. Each guarded route answers the subject as
//! text, or `nobody`, unless the table says otherwise; [`TICKET`], [`COOKIE`] and [`Tenant`] are
//! below.
//!
//! | route | guarded by | handler |
//! | --- | --- | --- |
//! | `GET /public` | | `public` |
//! | `GET /me` | a layer as it is by default | `AuthUser` |
//! | `GET /claims` | the same | `AuthUser<Tenant>`, answers the tenant |
//! | `GET /optional` | an optional layer | `Option<AuthUser>` |
//! | `GET /optional/claims` | the same | `Option<AuthUser<Tenant>>`, answers the tenant |
//! | `GET /optional/required` | the same | `AuthUser` |
//! | `GET /optional/scoped` | the same, scope `admin` at the layer | `Option<AuthUser>` |
//! | `GET /optional/scope-layer` | the same, and the scope layer `admin` | `Option<AuthUser>` |
//! | `GET /cookie` | token from the cookie | `AuthUser` |
//! | `GET /fn` | token from a function: the query `ticket=..` | `AuthUser` |
//! | `GET /anywhere` | token from header, cookie, function | `AuthUser` |
//! | `GET /scope` | scope `admin` at the layer | `AuthUser` |
//! | `GET /scope/layer` | a layer, and inside it the scope layer `admin` | `AuthUser` |
//! | `GET /scope/handler` | a layer | asks for `admin` itself |
//! | `GET /bare`, `/bare/optional`, `/bare/scope` | no layer; the last: the scope layer alone | `AuthUser`, `Option<AuthUser>`, none |
//! | `GET /allow` | outage policy *allow* | `AuthUser` |
//! | `GET /allow/outside` | outage policy *allow* outside, *deny* inside | `AuthUser` |
//! | `GET /twice` | two layers of the guard | `AuthUser` |
//! | `GET /other` | the guard outside, the other guard inside | `AuthUser`; `other` if the other guard accepts the access |
//! | `GET /other/optional` | the guard outside, the other guard inside, optional, from the cookie | `Option<AuthUser>` |
//! | `GET /rendered`, `/rendered/claims`, `/rendered/scope` | a layer that renders with [`teapot`] | `AuthUser`, `AuthUser<Tenant>`, the scope layer `admin` and `AuthUser` |
//! | `GET /rendered/inside` | a layer, inside it one that renders with [`teapot`], inside it the scope layer `admin` | `AuthUser` |
//! | `GET /rendered/outside` | an optional layer, from the cookie, that renders with [`teapot`], inside it a layer as it is by default, inside it the scope layer `admin` | `AuthUser` |
//! | `GET /stream` | a layer | `first`, and once [`Fixture::go_on`] is notified, `second` |
//! | `POST /echo` | a layer | the request's body, as it comes |
//! | `GET /ws` | a layer | a WebSocket that echoes texts |
//! | `POST /auth/logout` | the logout route of services without sessions, nested at `/auth` | |

#![allow(missing_docs, reason = "a check has its claim for a name")]
#![allow(clippy::unwrap_used, reason = "this is test code")]

mod fixture;
mod layers;
mod logout;
mod malformed;
mod outage;
mod refusals;
pub mod sessions;
mod sources;
mod streams;

pub use self::{
    fixture::{COOKIE, Fixture, Running, Server, TICKET, Tenant, admin, teapot},
    layers::*,
    logout::*,
    malformed::*,
    outage::*,
    refusals::*,
    sources::*,
    streams::*,
};

/// Makes a test of each check of the suite, over the servers that `$serve` starts: an `async fn` from
/// [`Fixture`] to [`Running`].
///
/// `Layers` leaves out the logout route and WebSockets, for stacks without a router. `Cancels` adds what
/// is so where the framework drops a request whose client has hung up.
#[macro_export]
macro_rules! http_suite {
    ($serve:path) => {
        $crate::http_suite! { $serve, Layers }
        $crate::http_suite! { $serve:
            t4_a_refresh_token_opens_nothing_and_revokes_nothing
            r2_a_logout_that_was_not_confirmed_is_503
            s46_a_logout_of_a_client_that_hangs_up_is_done
            logout_ends_the_session_and_no_other
            logout_asks_for_a_token_of_its_own
            unknown_paths_and_other_methods_beside_logout_are_not_401
            websockets_are_upgraded
        }
    };
    ($serve:path, Cancels) => {
        $crate::http_suite! { $serve:
            a_client_that_hangs_up_leaves_nothing_waiting
        }
    };
    ($serve:path, Layers) => {
        $crate::http_suite! { $serve:
            a_good_token_opens_the_route
            the_scheme_is_read_in_any_case
            a_request_without_a_token_gets_a_challenge_without_an_error_code
            a_bad_token_is_401_whatever_is_wrong_with_it
            a_revoked_token_is_refused_like_any_other_bad_one
            a_missing_scope_is_403_and_names_the_scope
            claims_that_do_not_fit_are_401_and_logged_by_place_only
            a_renderer_renders_the_refusals_of_layers_extractors_and_scopes
            of_layers_in_layers_the_inner_one_words_the_refusals
            denials_are_logged_with_their_causes
            t34_a_token_that_a_setting_refuses_is_told_to_the_operator
            head_is_checked_like_get
            t9_two_authorization_headers_are_400
            t9_a_malformed_bearer_token_is_400
            t9_headers_beyond_measure_are_refused_and_the_server_lives
            t9_stray_bytes_in_headers_are_refused_and_the_server_lives
            a_cookie_is_a_token_only_where_it_was_asked_for
            a_function_finds_the_token
            one_token_in_several_places_is_one_token
            two_different_tokens_in_one_request_are_400
            optional_lets_a_request_without_a_token_through_and_none_with_a_bad_one
            optional_does_not_open_what_needs_a_user_or_a_scope
            without_a_layer_extractors_and_scopes_are_500
            a_token_is_not_checked_twice_by_layers_of_one_guard
            the_access_of_another_guard_counts_for_nothing
            an_optional_layer_removes_the_access_of_another_guard
            an_outage_is_503_with_retry_after
            an_outage_policy_of_allow_lets_good_tokens_through_and_no_forged_ones
            an_inner_layer_that_denies_does_not_trust_an_outer_one_that_allows
            a_slow_store_delays_a_request_and_no_other
            a_client_that_hangs_up_leaves_nothing_behind
            responses_stream
            request_bodies_stream
        }
    };
    ($serve:path: $($check:ident)*) => {
        $(
            #[tokio::test]
            async fn $check() {
                let fixture = $crate::http_suite::Fixture::new();
                let running = $serve(fixture.clone()).await;
                let server = $crate::http_suite::Server::new(fixture, running);
                $crate::http_suite::$check(&server).await;
                server.assert_that_no_token_leaked();
            }
        )*
    };
}
