//! One suite for all example programs, run as processes: what `DESIGN.md` calls their contract.
//!
//! A program is given by the path of its binary. It is configured by `JWT_REVOKE_*` variables,
//! started in a folder of its own, and spoken to over HTTP. It logs everything it can
//! (`RUST_LOG=trace`), and after each check no token and no password may be in what it said.

#![allow(missing_docs, reason = "a check has its claim for a name")]
#![allow(clippy::unwrap_used, reason = "this is test code")]

mod bounds;
mod contract;
mod durability;
mod fleet;
mod oauth;
mod outage;
mod process;
mod shutdown;
mod sockets;
mod start;

pub use self::{
    bounds::*,
    contract::*,
    durability::*,
    fleet::*,
    oauth::*,
    outage::*,
    process::{ALICE, BOB, Failed, Program, Service},
    shutdown::*,
    sockets::*,
    start::*,
};

/// Makes a test of each check of the suite, over the program at `$binary`:
/// `env!("CARGO_BIN_EXE_..")`.
#[macro_export]
macro_rules! service_suite {
    ($binary:expr) => {
        $crate::service_suite! { $binary =>
            the_first_line_says_where_it_listens
            without_settings_it_keeps_its_data_beside_it
            a_login_answers_a_bearer_token
            a_changed_password_keeps_this_session_only
            every_algorithm_signs_and_verifies
            the_settings_of_tokens_are_obeyed
            a_request_without_a_good_token_is_401_with_a_challenge
            a_logout_is_in_force_at_once
            a_logout_ends_one_session
            a_wrong_password_is_401_and_says_no_more
            t9_a_malformed_login_is_4xx_and_harms_nobody
            unknown_paths_are_404_and_other_methods_405
            oauth_clients_find_the_endpoints
            an_oauth_client_refreshes_inspects_and_revokes_a_login
            only_a_client_that_proves_who_it_is_may_inspect
            the_published_keys_verify_and_hold_no_secret
            i6_a_logout_that_was_acknowledged_survives_kill_9
            i6_a_clean_restart_keeps_sessions_and_logouts
            s21_a_restart_with_other_lifetimes_keeps_every_session
            s22_processes_of_a_rolling_deploy_end_each_others_sessions
            r75_an_older_file_does_not_open_by_mistake_and_is_made_safe
            r75_an_older_snapshot_of_redis_is_made_safe
            two_processes_on_one_redis_refuse_each_others_logged_out_tokens
            r1_a_killed_redis_is_503_until_it_is_back_and_the_logged_out_stay_out
            r1_a_frozen_redis_is_503_until_it_goes_on
            r4_with_copies_the_logged_out_stay_out_while_redis_is_gone_and_when_it_comes_back_empty
            r4_what_redis_kept_is_known_to_a_program_that_starts_later
            an_outage_that_is_allowed_lets_good_tokens_through_and_no_others
            a_request_at_hand_is_finished_before_it_stops
            i1_a_logout_closes_the_sockets_of_its_session_and_no_others
            a_socket_is_closed_when_its_token_lapses
            i1_a_logout_closes_sockets_in_other_processes
            r1_sockets_outlast_a_killed_redis_as_long_as_the_policy_says
            open_sockets_do_not_keep_a_program_from_stopping
            t46_a_frame_that_announces_too_much_closes_its_socket
            a_message_in_fragments_is_one_message
            a_socket_that_is_not_opened_as_one_is_426
            t47_wrong_passwords_leave_no_memory_behind
            t47_more_logins_than_can_be_checked_are_refused_and_the_next_one_works
            t48_a_socket_that_reads_nothing_does_not_stay
            t49_half_a_request_does_not_keep_a_program_from_stopping
            a_second_signal_ends_a_program_at_once
            r2_a_redis_that_refuses_writes_at_the_start_is_waited_for
            r1_a_redis_that_is_down_at_the_start_ends_the_program
            r1_a_redis_that_is_slow_at_the_start_does_not_end_the_program
            r3_a_redis_that_refuses_the_password_ends_the_program
            r9_a_store_that_is_in_use_ends_the_second_program
            r9_a_store_that_cannot_be_written_ends_the_program
            r9_a_store_that_is_damaged_ends_the_program
            an_address_that_is_no_store_ends_the_program
            a_setting_that_cannot_be_understood_is_named
            a_key_file_that_cannot_serve_ends_the_program
            an_address_that_is_taken_is_named
        }
    };
    ($binary:expr => $($check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let program = $crate::service_suite::Program::new($binary);
                $crate::service_suite::$check(&program).await;
                program.assert_that_no_secret_leaked();
            }
        )*
    };
}
