//! Times of verify and check, by criterion: `cargo bench -p jwt-revoke-benches`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jwt_revoke_benches::{Case, Shuffled, block_on, cold_guard, store_with, warm_guard};
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
        let (guard, _, token) = cold_guard(Algorithm::HS256, store_with(entries));
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

fn warm(c: &mut Criterion) {
    let mut group = c.benchmark_group("warm check");
    for tokens in [1, 20_000] {
        let (guard, tokens) = warm_guard(Algorithm::ES256, store_with(1_000_000), tokens);
        let mut order = Shuffled::new(&tokens);
        group.bench_function(BenchmarkId::from_parameter(tokens.len()), |b| {
            b.iter(|| match guard.check(black_box(order.pick())) {
                Checked::Now(decision) => decision,
                Checked::Later(_) => unreachable!("the embedded store answers at once"),
            });
        });
    }
    group.finish();
}

criterion_group!(benches, verify, check, warm);
criterion_main!(benches);
