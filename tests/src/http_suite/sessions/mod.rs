//! One suite of sessions for all adapters, over a real server and every store.
//!
//! An adapter gives [`http_session_suite!`](crate::http_session_suite) a function that serves these routes
//! over a [`SessionFixture`] on a free port of the loopback interface.
//!
//! | route | |
//! | --- | --- |
//! | `GET /me` | behind a layer as it is by default: the subject |
//! | `POST /login` | JSON `{"username", "scope"}`, the latter if there is any: a login by the sessions of the routes that begins, adds a permit to [`SessionFixture::begun`], waits for (and gives back) one of [`SessionFixture::password_checks`], and opens a session whose device is the `User-Agent`; 409 when the login is stale or there are too many sessions, 503 when the store fails |
//! | `/auth/..` | the companion routes, by default, and [`SessionFixture::password_change`] |
//! | `GET`, `POST /cookies/me` | behind a layer that takes the access token from the header or its cookie |
//! | `POST /cookies/login` | the same login, answered with cookies |
//! | `/cookies/auth/..` | the companion routes with cookies, `https://app.example.com` being a trusted origin |
//! | `/some/auth/..` | the companion routes without log out everywhere |

mod bodies;
mod cookies;
mod deploys;
mod fixture;
mod handed_out;
mod hang_ups;
mod logout;
mod manage;
mod once;
mod password;
mod races;
mod rotation;
mod theft;

pub use self::{
    bodies::*, cookies::*, deploys::*, fixture::*, handed_out::*, hang_ups::*, logout::*,
    manage::*, once::*, password::*, races::*, rotation::*, theft::*,
};

/// Makes a test of each check of the suite, over the servers that `$serve` starts (a
/// [`Serve`](crate::http_suite::sessions::Serve)) and a `$backend` of
/// [`Backend`](crate::http_suite::sessions::Backend).
#[macro_export]
macro_rules! http_session_suite {
    ($serve:path, Redis) => {
        $crate::http_session_suite! { $serve, EachStore, Redis }
        $crate::http_session_suite! { $serve, Redis:
            s17_an_answer_lost_between_service_and_store_is_no_reuse
        }
    };
    ($serve:path, Embedded) => {
        $crate::http_session_suite! { $serve, EachStore, Embedded }
    };
    ($serve:path, EachStore, $backend:ident) => {
        $crate::http_session_suite! { $serve, $backend:
            s1_of_fifty_concurrent_refreshes_exactly_one_rotates
            s2_two_tabs_stay_logged_in
            s3_a_client_that_lost_the_answer_gets_the_same_successor
            s4_a_spent_token_that_comes_back_ends_everything_of_the_user
            s4_an_ancestor_that_comes_back_ends_everything_too
            s4_with_scope_session_other_devices_live
            s5_no_rotation_survives_a_nuclear_revoke
            s6_a_login_racing_a_nuclear_revoke_is_dead_or_whole
            s7_a_spent_token_replayed_after_a_new_login_ends_nothing
            s8_a_logged_out_token_that_is_retried_ends_nothing
            s9_logout_with_either_token_or_both
            s9_logout_with_a_lapsed_access_token
            s9_forged_unsigned_and_mixed_up_tokens_change_nothing
            s9_a_second_logout_says_the_same
            s48_every_combination_of_tokens_ends_what_is_ours_and_clears_what_is_dead
            s48_signing_out_elsewhere_clears_no_cookie_of_a_session_that_lives
            s42_a_session_whose_tokens_no_cookie_can_hold_is_not_opened
            s42_a_refresh_that_cannot_be_handed_out_spends_nothing
            s44_a_retry_after_the_application_changed_its_mind_is_another_access_token
            s46_a_thief_who_hangs_up_is_noticed
            s46_what_a_client_asked_for_is_done_though_it_hangs_up
            s47_a_panic_answers_500_and_spends_nothing
            s10_a_logout_beats_a_racing_refresh
            s10_logout_with_a_spent_token_ends_the_session
            s11_concurrent_logins_and_devices_are_all_kept
            s12_another_clients_spent_token_is_refused_and_revokes_nothing
            s13_idle_and_old_sessions_expire_and_are_no_theft
            s14_the_hook_decides_at_each_refresh
            s15_the_cap_evicts_the_oldest_or_refuses
            s15_log_out_everywhere_is_one_write_whatever_the_number_of_sessions
            s16_the_previous_access_token_works_on
            s18_a_login_with_the_old_password_is_refused
            s18_a_login_right_after_log_out_everywhere_lives
            s21_a_deploy_that_changes_lifetimes_keeps_every_session
            s22_processes_with_other_lifetimes_end_each_others_sessions
            s22_whatever_is_genuine_is_logged_out_in_force_or_not
            s23_keys_roll_over_a_fleet_without_one_refusal
            s24_a_key_that_the_guard_does_not_hold_signs_nothing
            s25_an_access_token_ends_with_a_session_that_is_not_used
            s32_a_login_with_the_old_password_is_refused_where_this_session_is_kept
            s34_what_ends_is_reported_once
            s34_an_end_in_another_respect_is_not_reported_again
            s35_a_changed_password_ends_the_others_and_keeps_this_session
            s35_a_password_that_is_not_changed_ends_nothing
            s35_a_change_that_is_not_confirmed_is_503_and_is_repeated_as_it_is
            s35_pages_of_other_origins_change_no_password
            s36_a_ban_says_why_and_by_whom_and_whether_anyone_was_there
            r2_a_refresh_or_logout_that_was_not_written_is_503_and_can_be_repeated
            users_see_and_end_their_own_sessions_only
            logout_others_keeps_this_session
            third_party_clients_manage_no_sessions
            bodies_that_cannot_be_understood_are_refused_with_a_reason
            other_methods_and_paths_are_not_401_and_routes_can_be_left_out
            the_layer_words_the_refusals_of_access_tokens
            i9_no_token_is_logged
            cookies_are_out_of_reach_of_scripts_and_other_sites
            s52_the_authority_of_the_target_counts_where_there_is_no_host
            s53_cookies_change_no_state_for_pages_of_other_origins
            s54_no_page_of_another_origin_opens_a_socket_by_cookie
            s55_no_page_of_another_origin_logs_its_visitors_in
            s56_a_client_that_is_no_browser_is_told_what_to_send
            cookies_carry_a_whole_life_of_a_session
            only_logout_clears_cookies
            requests_of_other_origins_change_nothing
            planted_cookies_are_refused
            apps_beside_browsers_get_tokens_in_bodies
        }
    };
    ($serve:path, $backend:ident: $($check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                use $crate::http_suite::sessions as suite;
                let backend = suite::Backend::$backend;
                suite::$check(&suite::Stand::new(backend, $serve)).await;
            }
        )*
    };
}
