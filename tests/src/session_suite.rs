//! The part about sessions of the suite for every store, over the same [`Fixture`].
//!
//! No test waits: graces are nothing or an hour, deadlines far away or already past.
#![expect(missing_docs, reason = "the name of a test is what it claims")]

use std::{collections::HashSet, time::Duration};

use futures::future::{join, join_all};
use jwt_revoke_core::{
    Clock as _, SystemClock, Timestamp, defaults,
    revocation::{Cutoff, Dimension},
    session::{AttemptId, Outcome, Policy, ReuseScope, SessionCap, WhenFull},
    store::{Opened, Reach, Store},
    token::SessionId,
};

use crate::{
    sessions::{Ask, Line, User, end_all, handed, list, mark_privileges, patient, strict, token},
    store_suite::{Fixture, find_in},
};

/// All tests of sessions, as `#[tokio::test]`s, over a [`Fixture`]; `in_turn:` as in
/// [`store_suite!`](crate::store_suite!).
#[macro_export]
macro_rules! session_suite {
    (in_turn: $fixture:ty) => {
        $crate::session_suite!(@all in_turn $fixture);
    };
    ($fixture:ty) => {
        $crate::session_suite!(@all apart $fixture);
    };
    (@all $how:ident $fixture:ty) => {
        $crate::session_suite!(@$how $fixture;
            a_session_that_is_opened_is_listed_as_it_was_given,
            there_is_no_session_that_was_not_opened,
            a_rotation_hands_out_what_was_proposed,
            s3_a_retry_within_the_grace_gets_the_same_successor,
            s2_a_slow_tab_is_superseded_and_ends_nothing,
            s4_reuse_ends_session_and_user_in_the_same_step,
            s4_reuse_in_the_scope_of_a_session_leaves_the_others,
            reuse_that_is_only_refused_ends_nothing,
            s7_a_spent_token_that_comes_back_after_a_new_login_ends_nothing,
            s8_a_token_of_a_session_that_was_logged_out_ends_nothing,
            a_line_that_split_ends_the_session_and_never_the_user,
            a_lost_write_is_recovered_forward,
            s12_another_client_is_refused_and_nothing_ends,
            s13_a_deadline_that_has_passed_is_expired_and_no_theft,
            a_look_says_the_same_and_changes_nothing,
            s41_a_judgement_leaves_a_good_token_as_it_is,
            s41_a_judgement_ends_what_a_stolen_token_ends,
            s45_a_token_of_another_user_than_the_sessions_is_unknown_and_ends_nothing,
            s17_a_repeated_rotation_is_the_same_rotation,
            a_repeated_opening_is_the_same_opening,
            an_opening_repeated_after_the_session_ended_does_not_bring_it_back,
            a_repeated_end_ends_nothing_more,
            s15_one_more_than_allowed_ends_the_oldest,
            s15_one_more_than_allowed_is_refused,
            s15_only_live_sessions_count,
            s9_a_session_is_ended_by_its_owner_only,
            the_others_end_and_the_kept_one_stays,
            s31_ending_the_others_reaches_sessions_without_a_record,
            s31_a_session_whose_deadline_has_passed_ends_with_the_others,
            s31_a_session_is_kept_again_and_again_and_ends_by_another,
            s31_many_others_end_in_slices_each_of_them_once,
            s32_a_login_that_began_before_the_others_ended_is_stale,
            s33_a_session_that_has_ended_is_not_brought_back_by_being_kept,
            s33_of_sessions_that_end_each_other_one_stays,
            s34_a_repeated_revocation_raises_nothing,
            s36_ending_all_tells_how_many_sessions_were_known,
            revoking_a_session_deletes_its_record,
            t12_the_same_session_at_another_issuer_is_another_session,
            a_privilege_change_ends_the_grace,
            s18_a_login_that_began_before_a_cutoff_is_stale,
            a_login_under_a_cutoff_is_dated_after_it,
            a_login_is_not_dated_far_from_the_clock,
            r78_logins_and_sign_outs_in_turns_do_not_run_ahead_of_the_clock,
            a_login_with_what_is_revoked_for_ever_is_refused,
            s6_a_session_that_was_opened_is_covered_by_every_later_cutoff,
            s1_fifty_concurrent_rotations_are_one,
            s11_concurrent_logins_are_all_there,
            s5_revoking_a_user_races_logins_and_rotations_and_nothing_survives,
            s10_ending_a_session_races_its_rotation_and_wins,
            s15_ten_thousand_rotations_leave_one_record,
            i6_a_store_opened_anew_goes_on_where_it_was,
        );
    };
    (@apart $fixture:ty; $($test:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::session_suite::$test::<$fixture>().await;
            }
        )*
    };
    (@in_turn $fixture:ty; $($test:ident,)*) => {
        pub(super) async fn in_turn() {
            $(
                // Shown when it fails: which of them it was.
                println!("{}", stringify!($test));
                $crate::session_suite::$test::<$fixture>().await;
            )*
        }
    };
}

/// Opens a session, as a login does it.
async fn open<F: Fixture>(fixture: &F, user: &User) -> Line {
    open_with(fixture, user, &Policy::default()).await
}

async fn open_with<F: Fixture>(fixture: &F, user: &User, policy: &Policy) -> Line {
    let since = now(fixture, user).await;
    let (line, evicted) = open_capped(fixture, user, policy, since, None)
        .await
        .unwrap();
    assert_eq!(evicted, []);
    line
}

async fn open_capped<F: Fixture>(
    fixture: &F,
    user: &User,
    policy: &Policy,
    since: Timestamp,
    cap: Option<SessionCap>,
) -> Result<(Line, Vec<SessionId>), Opened> {
    let mut opened_at = since;
    for _ in 0..5 {
        let line = Line::new(user, opened_at, policy);
        match line.ask(&**fixture.store(), since, cap).await {
            Opened::Opened(evicted) => return Ok((line, evicted)),
            Opened::OpenAt(instant) => opened_at = instant,
            refused => return Err(refused),
        }
    }
    panic!("told to open at another instant again and again");
}

async fn now<F: Fixture>(fixture: &F, user: &User) -> Timestamp {
    fixture.store().now(user.shard).await.unwrap()
}

async fn rotate<F: Fixture>(
    fixture: &F,
    line: &Line,
    presented: &jwt_revoke_core::session::Presented,
    policy: Policy,
) -> Outcome {
    line.rotate(&**fixture.store(), presented, &Ask::new(policy))
        .await
}

async fn listed<F: Fixture>(fixture: &F, user: &User) -> Vec<SessionId> {
    let listed = list(&**fixture.store(), user).await;
    listed.into_iter().map(|(session, _)| session).collect()
}

/// Whether the line can still be rotated, asked without changing it.
async fn is_live<F: Fixture>(fixture: &F, line: &Line) -> bool {
    let store = &**fixture.store();
    let records = list(store, &line.user).await;
    let Some((_, record)) = records.iter().find(|(session, _)| *session == line.session) else {
        return false;
    };
    let current = token(record.current.generation, record.current.refresh.as_str());
    let outcome = line.look(store, &current, &Ask::new(patient())).await;
    matches!(outcome, Outcome::Rotated(_))
}

/// Whether a cutoff covers the tokens of the line, as a check judges it.
async fn is_covered<F: Fixture>(fixture: &F, line: &Line) -> bool {
    let covering = line.covering_token();
    let query = line.lookup(&covering);
    let found = fixture.store().lookup(&query).await.unwrap();
    let at_once = fixture.store().lookup_now(&query);
    let covered = found.covering(line.record.opened_at).is_some();
    if let Some(at_once) = at_once {
        let at_once = at_once.unwrap().covering(line.record.opened_at);
        assert_eq!(at_once.is_some(), covered, "at once");
    }
    covered
}

async fn cutoff_of<F: Fixture>(fixture: &F, user: &User) -> Option<Cutoff> {
    find_in(fixture, user.shard, user.digest).await
}

/// Whether the session's access tokens are dead by its own entry.
async fn is_buried<F: Fixture>(fixture: &F, line: &Line) -> bool {
    find_in(fixture, line.user.shard, line.entry).await == Some(Cutoff::Forever)
}

fn rotated(outcome: Outcome) -> jwt_revoke_core::session::Identity {
    match outcome {
        Outcome::Rotated(identity) => identity,
        other => panic!("{other:?}"),
    }
}

fn alice() -> User {
    User::new("alice")
}

fn scoped(scope: ReuseScope) -> Policy {
    let mut policy = strict();
    policy.reuse = scope;
    policy
}

pub async fn a_session_that_is_opened_is_listed_as_it_was_given<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let since = now(&fixture, &user).await;
    let mut lines = Vec::new();
    for n in 0..5 {
        let mut line = Line::new(&user, since, &Policy::default());
        line.record.device = (n % 2 == 0).then(|| format!("Gerät {n}").into());
        assert_eq!(
            line.ask(&**fixture.store(), since, None).await,
            Opened::Opened(vec![])
        );
        lines.push((line.session, line.record));
    }
    open(&fixture, &User::new("bob")).await;
    let mut found = list(&**fixture.store(), &user).await;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, lines);
}

pub async fn there_is_no_session_that_was_not_opened<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let line = Line::new(&user, now(&fixture, &user).await, &Policy::default());
    let outcome = rotate(&fixture, &line, &line.first(), patient()).await;
    assert_eq!(outcome, Outcome::Unknown);
    assert_eq!(line.end(&**fixture.store(), &user).await, []);
    assert!(!is_buried(&fixture, &line).await);
    assert_eq!(listed(&fixture, &user).await, []);
}

pub async fn a_rotation_hands_out_what_was_proposed<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let line = open(&fixture, &user).await;
    let mut presented = line.first();
    for generation in 2..20 {
        let ask = Ask::new(patient());
        let before = now(&fixture, &user).await;
        let identity = rotated(line.rotate(&**fixture.store(), &presented, &ask).await);
        let after = now(&fixture, &user).await;
        assert_eq!(identity.generation, generation);
        assert_eq!(identity.refresh, ask.proposal.refresh);
        assert_eq!(identity.access, ask.proposal.access);
        let seconds = before.whole_seconds()..=after.whole_seconds();
        assert!(seconds.contains(&identity.issued_at.whole_seconds()));
        let (_, record) = list(&**fixture.store(), &user).await.remove(0);
        assert_eq!(record.current, identity);
        assert_eq!(record.previous, Some(presented.jti));
        assert!((before..=after).contains(&record.last_used_at));
        assert_eq!(record.spent_at[0], record.last_used_at);
        presented = token(identity.generation, identity.refresh.as_str());
    }
    assert_eq!(cutoff_of(&fixture, &user).await, None);
}

pub async fn s3_a_retry_within_the_grace_gets_the_same_successor<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let identity = rotated(rotate(&fixture, &line, &line.first(), patient()).await);
    let before = list(&**fixture.store(), &line.user).await;
    for _ in 0..3 {
        let outcome = rotate(&fixture, &line, &line.first(), patient()).await;
        assert_eq!(outcome, Outcome::Retried(identity.clone()));
    }
    assert_eq!(list(&**fixture.store(), &line.user).await, before);
    assert!(is_live(&fixture, &line).await);
}

pub async fn s2_a_slow_tab_is_superseded_and_ends_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let second = rotate(&fixture, &line, &line.first(), patient()).await;
    rotate(&fixture, &line, &handed(&second).unwrap(), patient()).await;
    let outcome = rotate(&fixture, &line, &line.first(), patient()).await;
    assert_eq!(outcome, Outcome::Superseded);
    assert!(is_live(&fixture, &line).await);
}

pub async fn s4_reuse_ends_session_and_user_in_the_same_step<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let other = open(&fixture, &alice()).await;
    let bystander = open(&fixture, &User::new("bob")).await;
    let second = rotate(&fixture, &line, &line.first(), strict()).await;

    let before = now(&fixture, &line.user).await;
    let outcome = rotate(&fixture, &line, &line.first(), strict()).await;
    assert_eq!(outcome, Outcome::Reused);
    // What is acknowledged is in force: nothing was left to be done later.
    let cutoff = cutoff_of(&fixture, &line.user).await.unwrap();
    assert!(cutoff >= Cutoff::At(before) && cutoff < Cutoff::Forever);
    assert!(is_buried(&fixture, &line).await);
    for line in [&line, &other] {
        let outcome = rotate(&fixture, line, &line.first(), strict()).await;
        assert_eq!(outcome, Outcome::Ended);
    }
    let winner = handed(&second).unwrap();
    let outcome = rotate(&fixture, &line, &winner, strict()).await;
    assert_eq!(outcome, Outcome::Ended);
    assert!(!listed(&fixture, &line.user).await.contains(&line.session));
    assert!(is_live(&fixture, &bystander).await);
}

pub async fn s4_reuse_in_the_scope_of_a_session_leaves_the_others<F: Fixture>() {
    let fixture = F::fresh().await;
    let policy = scoped(ReuseScope::Session);
    let line = open(&fixture, &alice()).await;
    let other = open(&fixture, &alice()).await;
    rotate(&fixture, &line, &line.first(), policy).await;
    let outcome = rotate(&fixture, &line, &line.first(), policy).await;
    assert_eq!(outcome, Outcome::Reused);
    assert!(is_buried(&fixture, &line).await);
    assert_eq!(cutoff_of(&fixture, &line.user).await, None);
    assert_eq!(
        listed(&fixture, &line.user).await,
        std::slice::from_ref(&other.session)
    );
    assert!(is_live(&fixture, &other).await);
}

pub async fn reuse_that_is_only_refused_ends_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let policy = scoped(ReuseScope::Refuse);
    let line = open(&fixture, &alice()).await;
    rotate(&fixture, &line, &line.first(), policy).await;
    let outcome = rotate(&fixture, &line, &line.first(), policy).await;
    assert_eq!(outcome, Outcome::Reused);
    assert!(!is_buried(&fixture, &line).await);
    assert_eq!(cutoff_of(&fixture, &line.user).await, None);
    assert!(is_live(&fixture, &line).await);
}

pub async fn s7_a_spent_token_that_comes_back_after_a_new_login_ends_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    rotate(&fixture, &line, &line.first(), strict()).await;
    rotate(&fixture, &line, &line.first(), strict()).await;
    let cutoff = cutoff_of(&fixture, &line.user).await;
    let anew = open(&fixture, &alice()).await;
    for _ in 0..10 {
        let outcome = rotate(&fixture, &line, &line.first(), strict()).await;
        assert_eq!(outcome, Outcome::Ended);
    }
    assert_eq!(cutoff_of(&fixture, &line.user).await, cutoff);
    assert!(is_live(&fixture, &anew).await);
}

pub async fn s8_a_token_of_a_session_that_was_logged_out_ends_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let other = open(&fixture, &alice()).await;
    let second = rotate(&fixture, &line, &line.first(), strict()).await;
    let ended = line.end(&**fixture.store(), &line.user).await;
    assert_eq!(ended, std::slice::from_ref(&line.session));
    for presented in [line.first(), handed(&second).unwrap()] {
        let outcome = rotate(&fixture, &line, &presented, strict()).await;
        assert_eq!(outcome, Outcome::Ended);
    }
    assert!(is_live(&fixture, &other).await);
}

pub async fn a_line_that_split_ends_the_session_and_never_the_user<F: Fixture>() {
    let fixture = F::fresh().await;
    for generation in [1, 2] {
        let line = open(&fixture, &alice()).await;
        rotate(&fixture, &line, &line.first(), patient()).await;
        let stranger = token(generation, "a line of its own");
        let outcome = rotate(&fixture, &line, &stranger, patient()).await;
        assert_eq!(outcome, Outcome::Forked, "{generation}");
        assert!(is_buried(&fixture, &line).await);
    }
    assert_eq!(cutoff_of(&fixture, &alice()).await, None);
    assert_eq!(listed(&fixture, &alice()).await, []);
}

pub async fn a_lost_write_is_recovered_forward<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let ask = Ask::new(strict());
    // As if the store had forgotten the rotations in which this token was made.
    let lost = token(3, "made by a rotation that was lost");
    let outcome = line.rotate(&**fixture.store(), &lost, &ask).await;
    let Outcome::Recovered(identity) = &outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(identity.generation, 4);
    let again = line.rotate(&**fixture.store(), &lost, &ask).await;
    assert_eq!(again, outcome);
    let (_, record) = list(&**fixture.store(), &line.user).await.remove(0);
    assert_eq!(record.absolute_deadline, line.record.absolute_deadline);
    assert_eq!(record.previous, Some(lost.jti.clone()));
    // What was spent while nobody remembers, was spent just now.
    let outcome = rotate(&fixture, &line, &line.first(), patient()).await;
    assert_eq!(outcome, Outcome::Superseded);
    let outcome = rotate(&fixture, &line, &lost, strict()).await;
    assert_eq!(outcome, Outcome::Reused);
}

pub async fn s12_another_client_is_refused_and_nothing_ends<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    rotate(&fixture, &line, &line.first(), strict()).await;
    let mut stolen = line.first();
    stolen.presenter = Some("mallory".into());
    let mut of_another = line.first();
    of_another.client = "mallory".into();
    for presented in [stolen, of_another] {
        let outcome = rotate(&fixture, &line, &presented, strict()).await;
        assert_eq!(outcome, Outcome::Refused);
    }
    assert!(is_live(&fixture, &line).await);
    assert_eq!(cutoff_of(&fixture, &line.user).await, None);
}

pub async fn s13_a_deadline_that_has_passed_is_expired_and_no_theft<F: Fixture>() {
    let fixture = F::fresh().await;
    let mut unused = strict();
    unused.idle_lifetime = Duration::ZERO;
    let mut old = strict();
    old.absolute_lifetime = Duration::ZERO;
    for policy in [unused, old] {
        let line = open_with(&fixture, &alice(), &policy).await;
        assert_eq!(listed(&fixture, &line.user).await, []);
        for generation in [1, 2] {
            let presented = token(generation, line.first().jti.as_str());
            let outcome = rotate(&fixture, &line, &presented, strict()).await;
            assert_eq!(outcome, Outcome::Expired);
        }
        assert!(!is_buried(&fixture, &line).await);
    }
    // Also when the last rotation has set it.
    let line = open(&fixture, &alice()).await;
    rotated(rotate(&fixture, &line, &line.first(), unused).await);
    let outcome = rotate(&fixture, &line, &line.first(), strict()).await;
    assert_eq!(outcome, Outcome::Expired);
    assert_eq!(cutoff_of(&fixture, &alice()).await, None);
}

pub async fn s41_a_judgement_leaves_a_good_token_as_it_is<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let store = &**fixture.store();
    let judge = async |presented: jwt_revoke_core::session::Presented| {
        line.judge(store, &presented, &Ask::new(patient())).await
    };
    let before = list(store, &line.user).await;
    for _ in 0..3 {
        assert!(matches!(judge(line.first()).await, Outcome::Rotated(_)));
        let lost = token(5, "lost");
        assert!(matches!(judge(lost).await, Outcome::Recovered(_)));
    }
    assert_eq!(list(store, &line.user).await, before);
    let identity = rotated(rotate(&fixture, &line, &line.first(), patient()).await);
    let before = list(store, &line.user).await;
    assert_eq!(judge(line.first()).await, Outcome::Retried(identity));
    assert_eq!(list(store, &line.user).await, before);
    assert!(is_live(&fixture, &line).await);
}

pub async fn s41_a_judgement_ends_what_a_stolen_token_ends<F: Fixture>() {
    for scope in [ReuseScope::User, ReuseScope::Session, ReuseScope::Refuse] {
        let fixture = F::fresh().await;
        let (line, other) = (
            open(&fixture, &alice()).await,
            open(&fixture, &alice()).await,
        );
        let policy = scoped(scope);
        rotated(rotate(&fixture, &line, &line.first(), policy).await);
        let store = &**fixture.store();
        let outcome = line.judge(store, &line.first(), &Ask::new(policy)).await;
        assert_eq!(outcome, Outcome::Reused);
        let ends_session = scope != ReuseScope::Refuse;
        assert_eq!(is_buried(&fixture, &line).await, ends_session, "{scope:?}");
        let cutoff = cutoff_of(&fixture, &line.user).await;
        assert_eq!(cutoff.is_some(), scope == ReuseScope::User, "{scope:?}");
        assert_eq!(
            is_live(&fixture, &other).await,
            scope != ReuseScope::User,
            "{scope:?}"
        );
        let forked = other
            .judge(store, &token(1, "split"), &Ask::new(policy))
            .await;
        let expected = match scope {
            ReuseScope::User => Outcome::Ended,
            _ => Outcome::Forked,
        };
        assert_eq!(forked, expected);
        assert!(!is_live(&fixture, &other).await);
    }
}

pub async fn s45_a_token_of_another_user_than_the_sessions_is_unknown_and_ends_nothing<
    F: Fixture,
>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let as_mallory = |mut presented: jwt_revoke_core::session::Presented| {
        presented.subject = "mallory".into();
        presented
    };
    let second = rotated(rotate(&fixture, &line, &line.first(), strict()).await);
    let second = token(second.generation, second.refresh.as_str());
    for presented in [
        second.clone(),         // The live one,
        line.first(),           // a spent one,
        token(2, "split"),      // one of a line that split,
        token(9, "from ahead"), // one of a lost write.
    ] {
        let presented = as_mallory(presented);
        for _ in 0..2 {
            let outcome = rotate(&fixture, &line, &presented, strict()).await;
            assert_eq!(outcome, Outcome::Unknown, "{presented:?}");
        }
        let store = &**fixture.store();
        for outcome in [
            line.look(store, &presented, &Ask::new(strict())).await,
            line.judge(store, &presented, &Ask::new(strict())).await,
        ] {
            assert_eq!(outcome, Outcome::Unknown, "{presented:?}");
        }
        assert!(!is_buried(&fixture, &line).await);
    }
    assert_eq!(cutoff_of(&fixture, &line.user).await, None);
    rotated(rotate(&fixture, &line, &second, strict()).await);
}

pub async fn a_look_says_the_same_and_changes_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let second = rotate(&fixture, &line, &line.first(), strict()).await;
    let before = list(&**fixture.store(), &line.user).await;
    let cases = [
        (handed(&second).unwrap(), strict()),
        (line.first(), patient()),
        (line.first(), strict()),
        (line.first(), scoped(ReuseScope::Session)),
        (token(2, "split"), strict()),
        (token(9, "later"), strict()),
    ];
    for (presented, policy) in cases {
        let ask = Ask::new(policy);
        let seen = line.look(&**fixture.store(), &presented, &ask).await;
        let again = line.look(&**fixture.store(), &presented, &ask).await;
        let same = std::mem::discriminant(&seen) == std::mem::discriminant(&again);
        assert!(same, "{seen:?} {again:?}");
        assert_eq!(list(&**fixture.store(), &line.user).await, before);
        assert!(!is_buried(&fixture, &line).await);
        assert_eq!(cutoff_of(&fixture, &line.user).await, None);
    }
    let seen = line
        .look(&**fixture.store(), &line.first(), &Ask::new(strict()))
        .await;
    assert_eq!(seen, Outcome::Reused);
    let done = rotate(&fixture, &line, &line.first(), strict()).await;
    assert_eq!(done, Outcome::Reused);
}

pub async fn s17_a_repeated_rotation_is_the_same_rotation<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let mut presented = line.first();
    for _ in 0..10 {
        let ask = Ask::new(strict());
        let first = line.rotate(&**fixture.store(), &presented, &ask).await;
        let before = list(&**fixture.store(), &line.user).await;
        for _ in 0..3 {
            let again = line.rotate(&**fixture.store(), &presented, &ask).await;
            assert_eq!(again, first);
            let seen = line.look(&**fixture.store(), &presented, &ask).await;
            assert_eq!(seen, first);
        }
        assert_eq!(list(&**fixture.store(), &line.user).await, before);
        presented = handed(&first).unwrap();
    }
    assert!(is_live(&fixture, &line).await);
}

pub async fn a_repeated_opening_is_the_same_opening<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let since = now(&fixture, &user).await;
    let line = Line::new(&user, since, &Policy::default());
    let cap = |when_full| {
        Some(SessionCap {
            limit: 1,
            when_full,
        })
    };
    for cap in [None, cap(WhenFull::Refuse), cap(WhenFull::EvictOldest)] {
        for _ in 0..3 {
            let opened = line.ask(&**fixture.store(), since, cap).await;
            assert_eq!(opened, Opened::Opened(vec![]));
            assert_eq!(
                listed(&fixture, &user).await,
                std::slice::from_ref(&line.session)
            );
        }
    }
    // Another attempt under the same name is another session, and takes over nothing.
    let mut taken_over = line.clone();
    taken_over.record.attempt = Some(AttemptId::random());
    taken_over.record.current.refresh = "mine".into();
    let opening = taken_over.ask(&**fixture.store(), since, None);
    // Whether it panics on an error or is told to go away.
    let _ = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(opening)).await;
    let (_, record) = list(&**fixture.store(), &user).await.remove(0);
    assert_eq!(record, line.record);
}

pub async fn an_opening_repeated_after_the_session_ended_does_not_bring_it_back<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let since = now(&fixture, &user).await;
    let line = Line::new(&user, since, &Policy::default());
    line.ask(&**fixture.store(), since, None).await;
    line.end(&**fixture.store(), &user).await;
    let opened = line.ask(&**fixture.store(), since, None).await;
    assert_eq!(opened, Opened::Stale);
    assert_eq!(listed(&fixture, &user).await, []);
}

pub async fn a_repeated_end_ends_nothing_more<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let line = open(&fixture, &user).await;
    let other = open(&fixture, &user).await;
    assert_eq!(
        line.end(&**fixture.store(), &user).await,
        std::slice::from_ref(&line.session)
    );
    for _ in 0..3 {
        assert_eq!(line.end(&**fixture.store(), &user).await, []);
    }
    assert!(is_buried(&fixture, &line).await);
    assert_eq!(listed(&fixture, &user).await, [other.session]);
}

pub async fn s15_one_more_than_allowed_ends_the_oldest<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let cap = |limit| {
        Some(SessionCap {
            limit,
            when_full: WhenFull::EvictOldest,
        })
    };
    let policy = Policy::default();
    let mut lines = Vec::new();
    let start = now(&fixture, &user).await;
    for n in 0..8 {
        // Each dated a second after the other, the last of them now.
        let opened_at = start.saturating_sub(Duration::from_secs(8 - n));
        let line = Line::new(&user, opened_at, &policy);
        let opened = line.ask(&**fixture.store(), start, cap(3)).await;
        let Opened::Opened(evicted) = opened else {
            panic!("{opened:?}");
        };
        lines.push(line);
        let oldest = lines.len().checked_sub(4).map(|oldest| &lines[oldest]);
        let expected = oldest.map(|line| line.session.clone());
        assert_eq!(evicted, Vec::from_iter(expected));
        if let Some(line) = oldest {
            assert!(is_buried(&fixture, line).await);
            let outcome = rotate(&fixture, line, &line.first(), patient()).await;
            assert_eq!(outcome, Outcome::Ended);
        }
    }
    let left = lines[5..].iter().map(|line| line.session.clone());
    assert_eq!(listed(&fixture, &user).await, Vec::from_iter(left));
    // The limit was lowered, and 0 counts as 1.
    let opened = open_capped(&fixture, &user, &policy, start, cap(0)).await;
    let (last, evicted) = opened.unwrap();
    assert_eq!(evicted.len(), 3);
    assert_eq!(listed(&fixture, &user).await, [last.session]);
    assert_eq!(cutoff_of(&fixture, &user).await, None);
}

pub async fn s15_one_more_than_allowed_is_refused<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let cap = Some(SessionCap {
        limit: 2,
        when_full: WhenFull::Refuse,
    });
    let policy = Policy::default();
    let since = now(&fixture, &user).await;
    let (first, _) = open_capped(&fixture, &user, &policy, since, cap)
        .await
        .unwrap();
    let (second, _) = open_capped(&fixture, &user, &policy, since, cap)
        .await
        .unwrap();
    for _ in 0..2 {
        let refused = open_capped(&fixture, &user, &policy, since, cap).await;
        assert_eq!(refused.unwrap_err(), Opened::Full);
    }
    let open = HashSet::from([first.session.clone(), second.session]);
    assert_eq!(HashSet::from_iter(listed(&fixture, &user).await), open);
    // Others have room, and so has the user once one has ended.
    let bob = User::new("bob");
    assert!(
        open_capped(&fixture, &bob, &policy, since, cap)
            .await
            .is_ok()
    );
    first.end(&**fixture.store(), &user).await;
    assert!(
        open_capped(&fixture, &user, &policy, since, cap)
            .await
            .is_ok()
    );
}

pub async fn s15_only_live_sessions_count<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let cap = Some(SessionCap {
        limit: 2,
        when_full: WhenFull::Refuse,
    });
    let mut over = Policy::default();
    over.idle_lifetime = Duration::ZERO;
    for _ in 0..3 {
        open_with(&fixture, &user, &over).await;
    }
    for _ in 0..3 {
        open(&fixture, &user).await;
    }
    fixture.store().revoke(&[user.revocation()]).await.unwrap();
    let policy = Policy::default();
    for full in [false, false, true] {
        let since = now(&fixture, &user).await;
        let opened = open_capped(&fixture, &user, &policy, since, cap).await;
        assert_eq!(opened.is_err(), full);
    }
}

pub async fn s9_a_session_is_ended_by_its_owner_only<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let mut at_bobs = line.clone();
    at_bobs.user = User::new("bob");
    assert_eq!(at_bobs.end(&**fixture.store(), &at_bobs.user).await, []);
    assert_eq!(line.end(&**fixture.store(), &User::new("bob")).await, []);
    assert!(!is_buried(&fixture, &line).await);
    assert!(is_live(&fixture, &line).await);
    let ended = line.end(&**fixture.store(), &alice()).await;
    assert_eq!(ended, std::slice::from_ref(&line.session));
}

pub async fn the_others_end_and_the_kept_one_stays<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let bystander = open(&fixture, &User::new("bob")).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(open(&fixture, &user).await);
    }
    let kept = open(&fixture, &user).await;
    let ended = kept.end_others(&**fixture.store()).await.unwrap();
    let expected = others.iter().map(|line| line.session.clone());
    assert_eq!(HashSet::<SessionId>::from_iter(ended), expected.collect());
    for line in &others {
        assert!(is_covered(&fixture, line).await);
        let outcome = rotate(&fixture, line, &line.first(), patient()).await;
        assert_eq!(outcome, Outcome::Ended);
    }
    assert!(is_live(&fixture, &kept).await && !is_covered(&fixture, &kept).await);
    assert!(is_live(&fixture, &bystander).await);
    assert_eq!(
        listed(&fixture, &user).await,
        std::slice::from_ref(&kept.session)
    );
    assert_eq!(kept.end_others(&**fixture.store()).await, Some(vec![]));
    assert_eq!(cutoff_of(&fixture, &user).await, None);
    // It goes on as any other.
    let next = rotated(rotate(&fixture, &kept, &kept.first(), strict()).await);
    let next = token(next.generation, next.refresh.as_str());
    rotated(rotate(&fixture, &kept, &next, strict()).await);
}

pub async fn s31_ending_the_others_reaches_sessions_without_a_record<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    // As a wipe of the store leaves them, or an index that was lost: tokens, and no record.
    let since = now(&fixture, &user).await;
    let line = || Line::new(&user, since, &Policy::default());
    let (lost, kept) = (line(), line());
    assert!(!is_covered(&fixture, &lost).await);
    assert_eq!(kept.end_others(&**fixture.store()).await, Some(vec![]));
    assert!(is_covered(&fixture, &lost).await);
    let outcome = rotate(&fixture, &lost, &lost.first(), patient()).await;
    assert_eq!(outcome, Outcome::Ended);
    assert!(!is_covered(&fixture, &kept).await);
    // Whoever logs in afterwards lives, and ends the one that was kept.
    let next = open(&fixture, &user).await;
    assert!(is_live(&fixture, &next).await && !is_covered(&fixture, &next).await);
    assert_eq!(next.end_others(&**fixture.store()).await, Some(vec![]));
    assert!(is_covered(&fixture, &kept).await && !is_covered(&fixture, &next).await);
}

pub async fn s31_a_session_whose_deadline_has_passed_ends_with_the_others<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    // Its refresh token lives shorter than its access token.
    let mut over = Policy::default();
    over.idle_lifetime = Duration::ZERO;
    let expired = open_with(&fixture, &user, &over).await;
    let kept = open(&fixture, &user).await;
    assert!(!is_covered(&fixture, &expired).await);
    assert_eq!(kept.end_others(&**fixture.store()).await, Some(vec![]));
    assert!(is_covered(&fixture, &expired).await && !is_covered(&fixture, &kept).await);
}

pub async fn s31_a_session_is_kept_again_and_again_and_ends_by_another<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let kept = open(&fixture, &user).await;
    for _ in 0..20 {
        let other = open(&fixture, &user).await;
        let ended = kept.end_others(&**fixture.store()).await;
        assert_eq!(ended, Some(vec![other.session.clone()]));
        assert!(is_covered(&fixture, &other).await);
        assert!(is_live(&fixture, &kept).await && !is_covered(&fixture, &kept).await);
    }
    let other = open(&fixture, &user).await;
    let ended = other.end_others(&**fixture.store()).await;
    assert_eq!(ended, Some(vec![kept.session.clone()]));
    assert!(is_covered(&fixture, &kept).await && !is_live(&fixture, &kept).await);
    assert!(is_live(&fixture, &other).await && !is_covered(&fixture, &other).await);
    // Being kept spares from nothing else.
    fixture.store().revoke(&[user.revocation()]).await.unwrap();
    assert!(is_covered(&fixture, &other).await);
    assert_eq!(other.end_others(&**fixture.store()).await, None);
}

pub async fn s31_many_others_end_in_slices_each_of_them_once<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let since = now(&fixture, &user).await;
    let policy = Policy::default();
    let others = join_all((0..600).map(|_| async {
        let opened = open_capped(&fixture, &user, &policy, since, None).await;
        opened.unwrap().0.session
    }))
    .await;
    let kept = open(&fixture, &user).await;
    let ended = kept.end_others(&**fixture.store()).await.unwrap();
    assert_eq!(ended.len(), others.len());
    assert_eq!(
        HashSet::<SessionId>::from_iter(ended),
        others.into_iter().collect()
    );
    assert_eq!(
        listed(&fixture, &user).await,
        std::slice::from_ref(&kept.session)
    );
    assert_eq!(kept.end_others(&**fixture.store()).await, Some(vec![]));
}

pub async fn s32_a_login_that_began_before_the_others_ended_is_stale<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let kept = open(&fixture, &user).await;
    let policy = Policy::default();
    for _ in 0..20 {
        let began = now(&fixture, &user).await;
        assert_eq!(kept.end_others(&**fixture.store()).await, Some(vec![]));
        let stale = open_capped(&fixture, &user, &policy, began, None).await;
        assert_eq!(stale.unwrap_err(), Opened::Stale);
        assert_eq!(
            listed(&fixture, &user).await,
            std::slice::from_ref(&kept.session)
        );
        let line = open(&fixture, &user).await;
        assert!(is_live(&fixture, &line).await);
        line.end(&**fixture.store(), &user).await;
    }
}

pub async fn s33_a_session_that_has_ended_is_not_brought_back_by_being_kept<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let (ended, other) = (open(&fixture, &user).await, open(&fixture, &user).await);
    ended.end(&**fixture.store(), &user).await;
    assert_eq!(ended.end_others(&**fixture.store()).await, None);
    assert!(is_live(&fixture, &other).await && !is_covered(&fixture, &other).await);
    let kept = open(&fixture, &user).await;
    assert!(kept.end_others(&**fixture.store()).await.is_some());
    // Its request was let through a moment before.
    assert_eq!(other.end_others(&**fixture.store()).await, None);
    assert!(is_covered(&fixture, &other).await && is_covered(&fixture, &ended).await);
    assert!(is_live(&fixture, &kept).await && !is_covered(&fixture, &kept).await);
}

pub async fn s33_of_sessions_that_end_each_other_one_stays<F: Fixture>() {
    let fixture = F::fresh().await;
    for round in 0..100 {
        let user = User::new(&format!("alice-{round}"));
        let mut lines = Vec::new();
        for _ in 0..4 {
            lines.push(open(&fixture, &user).await);
        }
        let began = now(&fixture, &user).await;
        let policy = Policy::default();
        let login = open_capped(&fixture, &user, &policy, began, None);
        let store = &**fixture.store();
        let ended = join_all(lines.iter().map(|line| line.end_others(store)));
        let (ended, login) = join(ended, login).await;
        let stayed: Vec<_> = ended.iter().map(Option::is_some).collect();
        assert_eq!(
            stayed.iter().filter(|stays| **stays).count(),
            1,
            "round {round}"
        );
        for (line, stays) in lines.iter().zip(stayed) {
            assert_eq!(is_live(&fixture, line).await, stays, "round {round}");
            assert_eq!(is_covered(&fixture, line).await, !stays, "round {round}");
        }
        if let Ok((line, _)) = login {
            assert!(is_covered(&fixture, &line).await, "round {round}");
        }
    }
}

pub async fn s36_ending_all_tells_how_many_sessions_were_known<F: Fixture>() {
    let fixture = F::fresh().await;
    let (user, store) = (alice(), &**fixture.store());
    let mistyped = end_all(store, &User::new("alcie")).await;
    assert_eq!((mistyped.sessions, mistyped.before), (0, None));
    let mut lines = Vec::new();
    for _ in 0..4 {
        lines.push(open(&fixture, &user).await);
    }
    lines[0].end(store, &user).await;
    let sid = lines[1].session.as_str();
    let entry = user.revocation_of(&Dimension::Session, sid, Reach::Forever);
    store.revoke(&[entry]).await.unwrap();
    let ended = end_all(store, &user).await;
    assert_eq!((ended.sessions, ended.before), (2, None));
    for line in &lines {
        assert!(is_covered(&fixture, line).await);
    }
    assert_eq!(cutoff_of(&fixture, &user).await, Some(Cutoff::At(ended.at)));
    let again = end_all(store, &user).await;
    assert_eq!(
        (again.sessions, again.before),
        (0, Some(Cutoff::At(ended.at)))
    );
    assert!(again.at >= ended.at);
    let anew = open(&fixture, &user).await;
    assert!(is_live(&fixture, &anew).await);
    assert_eq!(end_all(store, &user).await.sessions, 1);
}

pub async fn s34_a_repeated_revocation_raises_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let (user, store) = (alice(), &**fixture.store());
    let line = open(&fixture, &user).await;
    let sid = line.session.as_str();
    let entry = user.revocation_of(&Dimension::Session, sid, Reach::Forever);
    let all = [
        entry.clone(),
        user.revocation_of(&Dimension::Jti, "other", Reach::Forever),
    ];
    assert_eq!(store.revoke(&all[..1]).await.unwrap().raised, 1);
    assert_eq!(store.revoke(&all).await.unwrap().raised, 1);
    assert_eq!(store.revoke(&all).await.unwrap().raised, 0);
    // Fifty at the same time are one.
    let line = open(&fixture, &user).await;
    let sid = line.session.as_str();
    let entry = user.revocation_of(&Dimension::Session, sid, Reach::Forever);
    let revoked = join_all((0..50).map(|_| store.revoke(std::slice::from_ref(&entry)))).await;
    let raised = revoked.into_iter().map(|revoked| revoked.unwrap().raised);
    assert_eq!(raised.sum::<usize>(), 1);
}

pub async fn revoking_a_session_deletes_its_record<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let line = open(&fixture, &user).await;
    let other = open(&fixture, &user).await;
    let sid = line.session.as_str();
    let entry = user.revocation_of(&Dimension::Session, sid, Reach::Forever);
    fixture.store().revoke(&[entry]).await.unwrap();
    assert_eq!(listed(&fixture, &user).await, [other.session]);
    let outcome = rotate(&fixture, &line, &line.first(), strict()).await;
    assert_eq!(outcome, Outcome::Ended);
}

pub async fn t12_the_same_session_at_another_issuer_is_another_session<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let line = open(&fixture, &user).await;
    let entry = jwt_revoke_core::store::Revocation::new(
        Dimension::Session,
        "https://other.example",
        line.session.as_str(),
        jwt_revoke_core::revocation::Placement::One(user.shard),
        Reach::Forever,
    );
    fixture.store().revoke(&[entry]).await.unwrap();
    assert!(is_live(&fixture, &line).await);
}

pub async fn a_privilege_change_ends_the_grace<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let line = open(&fixture, &user).await;
    let bystander = open(&fixture, &User::new("bob")).await;
    for line in [&line, &bystander] {
        rotate(&fixture, line, &line.first(), patient()).await;
    }
    let before = now(&fixture, &user).await;
    mark_privileges(&**fixture.store(), &user).await;
    let after = now(&fixture, &user).await;
    let (_, record) = list(&**fixture.store(), &user).await.remove(0);
    assert!((before..=after).contains(&record.privileges_changed_at));
    let outcome = rotate(&fixture, &line, &line.first(), patient()).await;
    assert_eq!(outcome, Outcome::Superseded);
    assert!(is_live(&fixture, &line).await);
    let outcome = rotate(&fixture, &bystander, &bystander.first(), patient()).await;
    assert!(matches!(outcome, Outcome::Retried(_)), "{outcome:?}");
}

pub async fn s18_a_login_that_began_before_a_cutoff_is_stale<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let policy = Policy::default();
    for _ in 0..20 {
        let began = now(&fixture, &user).await;
        fixture.store().revoke(&[user.revocation()]).await.unwrap();
        let stale = open_capped(&fixture, &user, &policy, began, None).await;
        assert_eq!(stale.unwrap_err(), Opened::Stale);
        assert_eq!(listed(&fixture, &user).await, []);
        // One that begins after it is none of its business.
        let line = open(&fixture, &user).await;
        assert!(is_live(&fixture, &line).await);
        line.end(&**fixture.store(), &user).await;
    }
}

pub async fn a_login_under_a_cutoff_is_dated_after_it<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let before = now(&fixture, &user).await;
    fixture.store().revoke(&[user.revocation()]).await.unwrap();
    let Some(Cutoff::At(cutoff)) = cutoff_of(&fixture, &user).await else {
        panic!("no cutoff");
    };
    let since = cutoff.saturating_add(Duration::from_millis(1));
    for opened_at in [before, cutoff] {
        let line = Line::new(&user, opened_at, &Policy::default());
        let Opened::OpenAt(instant) = line.ask(&**fixture.store(), since, None).await else {
            panic!("{opened_at}");
        };
        assert!(instant >= since);
        let line = Line::new(&user, instant, &Policy::default());
        let opened = line.ask(&**fixture.store(), since, None).await;
        assert_eq!(opened, Opened::Opened(vec![]));
        assert!(is_live(&fixture, &line).await);
    }
    // A cutoff may lie ahead of the clock, and a login after it need not wait.
    let ahead = defaults::MAX_CUTOFF_AHEAD;
    let reach = Reach::Now { ahead };
    let entry = user.revocation_of(&Dimension::Subject, "alice", reach);
    fixture.store().revoke(&[entry]).await.unwrap();
    let Some(Cutoff::At(cutoff)) = cutoff_of(&fixture, &user).await else {
        panic!("no cutoff");
    };
    let since = cutoff.saturating_add(Duration::from_millis(1));
    let opened = open_capped(&fixture, &user, &Policy::default(), since, None).await;
    assert!(is_live(&fixture, &opened.unwrap().0).await);
}

pub async fn a_login_is_not_dated_far_from_the_clock<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let before = now(&fixture, &user).await;
    let second = Duration::from_secs(1);
    for opened_at in [
        before.saturating_add(defaults::MAX_CUTOFF_AHEAD + 30 * second),
        before.saturating_sub(defaults::MAX_OPENING_AGE + second),
        Timestamp::EPOCH,
    ] {
        let line = Line::new(&user, opened_at, &Policy::default());
        let opened = line.ask(&**fixture.store(), before, None).await;
        let Opened::OpenAt(instant) = opened else {
            panic!("{opened:?}");
        };
        let after = now(&fixture, &user).await;
        assert!((before..=after).contains(&instant));
    }
    assert_eq!(listed(&fixture, &user).await, []);
}

pub async fn r78_logins_and_sign_outs_in_turns_do_not_run_ahead_of_the_clock<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    // In memory this takes less than a millisecond a turn, and each turn needs a later date.
    for _ in 0..300 {
        let since = fixture.store().earliest_now().await.unwrap();
        let opened = open_capped(&fixture, &user, &Policy::default(), since, None).await;
        let (line, _) = opened.unwrap();
        fixture.store().revoke(&[user.revocation()]).await.unwrap();
        let ahead = line
            .record
            .opened_at
            .saturating_since(SystemClock::new().now());
        assert!(ahead < Duration::from_millis(50), "{ahead:?}");
    }
}

pub async fn a_login_with_what_is_revoked_for_ever_is_refused<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let entry = user.revocation_of(&Dimension::Key, "leaked", Reach::Forever);
    let since = now(&fixture, &user).await;
    let mut line = Line::new(&user, since, &Policy::default());
    line.covering.push(entry.digest);
    let last = line.covering.len() - 1;
    fixture
        .store()
        .revoke(&[entry, user.revocation()])
        .await
        .unwrap();
    let opened = line.ask(&**fixture.store(), since, None).await;
    assert_eq!(opened, Opened::Revoked(last));
    assert_eq!(listed(&fixture, &user).await, []);
}

pub async fn s6_a_session_that_was_opened_is_covered_by_every_later_cutoff<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    for _ in 0..50 {
        let line = open(&fixture, &user).await;
        fixture.store().revoke(&[user.revocation()]).await.unwrap();
        let outcome = rotate(&fixture, &line, &line.first(), patient()).await;
        assert_eq!(outcome, Outcome::Ended);
    }
}

pub async fn s1_fifty_concurrent_rotations_are_one<F: Fixture>() {
    let fixture = F::fresh().await;
    let line = open(&fixture, &alice()).await;
    let mut presented = line.first();
    for round in 0..40 {
        let tasks = (0..50).map(|_| {
            let (store, line) = (fixture.store().clone(), line.clone());
            let presented = presented.clone();
            tokio::spawn(
                async move { line.rotate(&*store, &presented, &Ask::new(patient())).await },
            )
        });
        let outcomes: Vec<_> = join_all(tasks)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let won: Vec<_> = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Rotated(_)))
            .collect();
        assert_eq!(won.len(), 1, "round {round}: {outcomes:?}");
        let next = handed(won[0]).unwrap();
        for outcome in &outcomes {
            let (Outcome::Rotated(identity) | Outcome::Retried(identity)) = outcome else {
                panic!("round {round}: {outcome:?}");
            };
            assert_eq!(
                (identity.generation, &identity.refresh),
                (next.generation, &next.jti)
            );
        }
        presented = next;
    }
    assert!(is_live(&fixture, &line).await);
    assert_eq!(cutoff_of(&fixture, &line.user).await, None);
}

pub async fn s11_concurrent_logins_are_all_there<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let lines = join_all((0..20).map(|_| open(&fixture, &user))).await;
    let found: HashSet<_> = listed(&fixture, &user).await.into_iter().collect();
    assert_eq!(
        found,
        lines.iter().map(|line| line.session.clone()).collect()
    );
    let outcomes = lines.iter().map(|line| async {
        let first = line.first();
        rotate(&fixture, line, &first, strict()).await
    });
    for outcome in join_all(outcomes).await {
        rotated(outcome);
    }
}

pub async fn s5_revoking_a_user_races_logins_and_rotations_and_nothing_survives<F: Fixture>() {
    let fixture = F::fresh().await;
    for round in 0..100 {
        let user = User::new(&format!("alice-{round}"));
        let thief = open(&fixture, &user).await;
        rotate(&fixture, &thief, &thief.first(), strict()).await;
        let line = open(&fixture, &user).await;
        let began = now(&fixture, &user).await;
        let rotations = async {
            let mut presented = line.first();
            // Until it is refused; a survivor would go on for ever.
            for _ in 0..1000 {
                let outcome = rotate(&fixture, &line, &presented, strict()).await;
                let Some(next) = handed(&outcome) else { return };
                presented = next;
            }
        };
        let logins = join_all((0..4).map(|_| {
            let policy = Policy::default();
            let (fixture, user) = (&fixture, &user);
            async move { open_capped(fixture, user, &policy, began, None).await }
        }));
        let reuse = async {
            if round % 2 == 0 {
                let outcome = rotate(&fixture, &thief, &thief.first(), strict()).await;
                assert_eq!(outcome, Outcome::Reused);
            } else {
                fixture.store().revoke(&[user.revocation()]).await.unwrap();
            }
        };
        let ((), (logins, ())) = join(rotations, join(logins, reuse)).await;
        let opened = logins.into_iter().filter_map(Result::ok);
        for line in opened.map(|(line, _)| line).chain([line, thief]) {
            let survives = is_live(&fixture, &line).await;
            assert!(!survives, "round {round}: {line:?}");
        }
        // Whoever comes afterwards lives.
        let anew = open(&fixture, &user).await;
        assert!(is_live(&fixture, &anew).await);
    }
}

pub async fn s10_ending_a_session_races_its_rotation_and_wins<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    for round in 0..100 {
        let line = open(&fixture, &user).await;
        let first = line.first();
        let rotation = rotate(&fixture, &line, &first, strict());
        let end = async {
            if round % 2 == 0 {
                line.end(&**fixture.store(), &user).await;
            } else {
                let sid = line.session.as_str();
                let entry = user.revocation_of(&Dimension::Session, sid, Reach::Forever);
                fixture.store().revoke(&[entry]).await.unwrap();
            }
        };
        let (outcome, ()) = join(rotation, end).await;
        let presented = handed(&outcome).unwrap_or(first.clone());
        let outcome = rotate(&fixture, &line, &presented, strict()).await;
        assert_eq!(outcome, Outcome::Ended);
        assert_eq!(listed(&fixture, &user).await, []);
    }
}

pub async fn s15_ten_thousand_rotations_leave_one_record<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let lines = join_all((0..100).map(|_| open(&fixture, &user))).await;
    join_all(lines.iter().map(|line| async {
        let mut presented = line.first();
        for _ in 0..100 {
            let outcome = rotate(&fixture, line, &presented, strict()).await;
            presented = handed(&outcome).unwrap();
        }
    }))
    .await;
    let records = list(&**fixture.store(), &user).await;
    assert_eq!(records.len(), lines.len());
    assert!(
        records
            .iter()
            .all(|(_, record)| record.current.generation == 101)
    );
}

pub async fn i6_a_store_opened_anew_goes_on_where_it_was<F: Fixture>() {
    let fixture = F::fresh().await;
    let user = alice();
    let (live, ended) = (open(&fixture, &user).await, open(&fixture, &user).await);
    let ask = Ask::new(strict());
    let outcome = live.rotate(&**fixture.store(), &live.first(), &ask).await;
    ended.end(&**fixture.store(), &user).await;
    let bob = User::new("bob");
    let robbed = open(&fixture, &bob).await;
    rotate(&fixture, &robbed, &robbed.first(), strict()).await;
    rotate(&fixture, &robbed, &robbed.first(), strict()).await;
    let before = list(&**fixture.store(), &user).await;
    let cutoff = cutoff_of(&fixture, &bob).await;
    assert!(cutoff.is_some());

    let Some(fixture) = fixture.reopened().await else {
        return;
    };
    assert_eq!(list(&**fixture.store(), &user).await, before);
    assert_eq!(cutoff_of(&fixture, &bob).await, cutoff);
    assert!(is_buried(&fixture, &ended).await);
    let again = live.rotate(&**fixture.store(), &live.first(), &ask).await;
    assert_eq!(again, outcome);
    let next = rotate(&fixture, &live, &handed(&outcome).unwrap(), strict()).await;
    rotated(next);
    let outcome = rotate(&fixture, &robbed, &robbed.first(), strict()).await;
    assert_eq!(outcome, Outcome::Ended);
}
