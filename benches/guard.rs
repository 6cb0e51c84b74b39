//! Times of verify and check, by criterion: `cargo bench -p jwt-revoke-benches`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jwt_revoke_benches::{Case, block_on, guard_over, store_with};
use jwt_revoke_core::{
    guard::{Checked, Target},
    verify::Algorithm,
};

fn verify(c: &mut Criterion) {
    let mut group = c.benchmark_group("verify");
    for algorithm in Algorithm::ALL {
        let case = Case::new(algorithm);
        let name = algorithm.to_string();
        group.bench_function(BenchmarkId::new("ours", &name), |b| {
            b.iter(|| case.verifier.verify(black_box(&case.token)));
        });
        group.bench_function(BenchmarkId::new("jsonwebtoken", &name), |b| {
            b.iter(|| case.decode());
        });
    }
    group.finish();
}

fn check(c: &mut Criterion) {
    let mut group = c.benchmark_group("check");
    for entries in [0, 1_000_000] {
        let (guard, _, token) = guard_over(Algorithm::HS256, store_with(entries));
        let check = || match guard.check(black_box(&token)) {
            Checked::Now(decision) => decision,
            Checked::Later(_) => unreachable!("the embedded store answers at once"),
        };
        group.bench_function(BenchmarkId::new("miss", entries), |b| b.iter(check));
        let access = check().expect("not revoked yet");
        block_on(guard.revoke(Target::token(&access))).expect("the store takes it");
        group.bench_function(BenchmarkId::new("hit", entries), |b| b.iter(check));
    }
    group.finish();
}

criterion_group!(benches, verify, check);
criterion_main!(benches);
