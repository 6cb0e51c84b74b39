//! Several processes on one Redis.

use futures::future::join_all;

use super::{
    Program,
    process::{ALICE, BOB},
};
use crate::redis_server::RedisServer;

pub async fn two_processes_on_one_redis_refuse_each_others_logged_out_tokens(program: &Program) {
    let redis = RedisServer::start();
    let settings = [
        ("JWT_REVOKE_STORE", &*redis.url()),
        ("JWT_REVOKE_CONSISTENCY", "strict"),
    ];
    let fleet = [program.start(&settings), program.start(&settings)];
    // The first start on an empty server takes a while, and says why.
    assert!(
        fleet[0]
            .log()
            .contains("the store is new or was wiped: waiting")
    );
    let kept = fleet[0].token(BOB).await;
    for round in 0..20 {
        let (here, there) = (&fleet[round % 2], &fleet[(round + 1) % 2]);
        let tokens = join_all((0..3).map(|_| here.token(ALICE))).await;
        for token in &tokens {
            assert_eq!(there.decision(token).await, 200, "{round}");
        }
        let [first, second, third] = &tokens[..] else {
            unreachable!("there are three");
        };
        there.log_out(first).await;
        here.log_out(second).await;
        for service in &fleet {
            assert_eq!(service.decision(first).await, 401, "{round}");
            assert_eq!(service.decision(second).await, 401, "{round}");
            assert_eq!(service.decision(third).await, 200, "{round}");
            assert_eq!(service.decision(&kept).await, 200, "{round}");
        }
    }
}
