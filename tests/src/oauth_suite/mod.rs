//! One suite for the OAuth routes of all adapters and stores, over a real server.
//!
//! An adapter gives [`oauth_suite!`](crate::oauth_suite!) a function that serves these routes over a
//! [`Fixture`] on a listener, and a function that makes a store:
//!
//! | route | is |
//! | --- | --- |
//! | `GET /me` | a layer of [`Fixture::guard`]; answers the subject as text |
//! | `/auth/..` | the routes of [`Fixture::oauth`] |
//! | `/strict/..` | the routes of [`Fixture::strict`] |
//! | the well-known document | of [`Fixture::oauth`], its prefix `/auth` |

#![allow(missing_docs, reason = "a check has its claim for a name")]
#![allow(clippy::unwrap_used, reason = "this is test code")]

mod clients;
mod documents;
mod fixture;
mod introspect;
mod malformed;
mod order;
mod races;
mod revoke;
mod store;
mod stores;
mod token;

pub use self::{
    clients::*,
    documents::*,
    fixture::{Answers, Fixture, Server, basic, form_request},
    introspect::*,
    malformed::*,
    order::*,
    races::*,
    revoke::*,
    store::SwitchedStore,
    stores::{in_memory, patient_redis},
    token::*,
};

/// Makes a test of each check of the suite. `$serve` is an `async fn(std::net::TcpListener, Fixture)`
/// whose answer stops the server when it is dropped; `$store` an `async fn()` to a store and whatever
/// must live as long as it does.
#[macro_export]
macro_rules! oauth_suite {
    ($serve:path, $store:path) => {
        $crate::oauth_suite! { $serve, $store:
            a_refresh_is_answered_just_as_rfc_6749_says
            every_client_refreshes_its_own_tokens_in_its_own_way
            another_client_or_a_wrong_secret_gets_nothing
            a_client_that_used_the_header_gets_a_challenge_and_the_others_none
            other_grants_are_unsupported
            a_refresh_may_ask_for_less_and_not_for_more
            t4_an_access_token_refreshes_nothing_and_revokes_nothing
            s3_a_retry_gets_the_same_successor
            s42_a_scope_that_is_repeated_without_end_is_one
            s43_a_stolen_token_is_noticed_whatever_scope_comes_with_it
            s43_an_honest_token_with_too_large_a_scope_is_not_spent
            s44_a_retry_with_another_scope_is_another_access_token_of_the_same_pair
            s44_parallel_refreshes_with_different_scopes_are_one_rotation
            s46_a_thief_who_hangs_up_at_the_token_endpoint_is_noticed
            s4_reuse_ends_everything_of_the_user
            s12_another_client_presents_a_spent_token_in_vain
            s14_the_application_is_asked_at_each_refresh
            r2_a_refresh_without_its_write_is_503_and_the_token_still_works
            revoking_a_refresh_token_ends_its_session
            revoking_an_access_token_ends_it_alone
            a_hint_is_not_trusted
            revoking_what_is_not_ours_is_200_and_revokes_nothing
            s22_whatever_is_genuine_is_revoked_in_force_or_not
            s8_a_revoked_refresh_token_that_is_retried_ends_nothing_more
            s10_revoking_a_rotated_token_ends_the_session
            s10_a_revocation_racing_a_refresh_always_wins
            s1_of_many_refreshes_at_once_one_rotates
            s12_another_client_revokes_nothing
            r2_a_revocation_that_was_not_confirmed_is_503
            introspection_tells_what_a_good_token_says
            a_token_that_is_not_good_is_inactive_and_nothing_else
            introspecting_a_spent_token_is_no_reuse
            introspection_is_for_those_who_may
            i7_introspection_never_guesses
            forms_with_missing_or_repeated_parameters_are_refused
            forms_beyond_measure_are_refused
            another_content_type_is_refused
            parameters_that_nobody_knows_are_ignored
            get_is_not_allowed
            an_endpoint_that_was_left_out_is_not_there
            the_keys_are_published_without_secrets
            the_metadata_lead_to_the_endpoints
        }
    };
    ($serve:path, $store:path: $($check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let (store, _alive) = $store().await;
                let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
                let fixture = $crate::oauth_suite::Fixture::new(&listener, store);
                let stop = $serve(listener, fixture.clone()).await;
                let server = $crate::oauth_suite::Server::new(fixture, Box::new(stop));
                $crate::oauth_suite::$check(&server).await;
                server.assert_that_no_secret_leaked();
            }
        )*
    };
}
