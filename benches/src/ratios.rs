//! Prints ratios to a baseline, both measured in turns in the same run, as the median of many
//! rounds: on a shared machine times drift, and ratios do not.
//!
//! ```sh
//! cargo run --release -p jwt-revoke-benches --bin ratios              # no server needed
//! ```

use std::hint::black_box;

use jwt_revoke_benches::{Case, block_on, cold_guard, compare, store_with};
use jwt_revoke_core::{Guard, guard::Target, verify::Algorithm};

fn main() {
    println!("verify: ours / jsonwebtoken::decode with the same checks (at most 1.15 wanted)");
    for algorithm in Algorithm::ALL {
        let case = Case::new(algorithm);
        let measured = compare(
            || drop(black_box(case.decode())),
            || drop(black_box(case.verifier.verify(black_box(&case.token)))),
        );
        println!("  {algorithm:<6} {measured}");
    }
    println!("embedded check: check - verify (under 1 us wanted)");
    for (entries, label) in [(0, "empty"), (1_000_000, "1 M entries")] {
        embedded(entries, label);
    }
}

fn embedded(entries: usize, label: &str) {
    let (guard, _, token) = cold_guard(Algorithm::HS256, store_with(entries));
    let verifier = guard.verifier().clone();
    let verify = || drop(black_box(verifier.verify(black_box(&token))));
    let check = || {
        black_box(block_now(&guard, &token));
    };
    println!("  {label}, not revoked: {}", compare(verify, check));
    let access = block_on(guard.check(&token).into_future()).expect("not revoked yet");
    block_on(guard.revoke(Target::token(&access))).expect("the store takes it");
    println!("  {label}, revoked:     {}", compare(verify, check));
}

fn block_now(guard: &Guard, token: &str) -> bool {
    match guard.check(black_box(token)) {
        jwt_revoke_core::guard::Checked::Now(decision) => decision.is_ok(),
        jwt_revoke_core::guard::Checked::Later(_) => unreachable!("the embedded store answers now"),
    }
}
