//! Restarts.

use super::{Program, process::ALICE};

/// The embedded store syncs before it acknowledges, so any moment will do.
pub async fn i6_a_logout_that_was_acknowledged_survives_kill_9(program: &Program) {
    let mut service = program.start(&[]);
    let kept = service.token(ALICE).await;
    let mut out = Vec::new();
    for round in 0..20 {
        let token = service.token(ALICE).await;
        // Good at once, also after a crash, when the store's clock goes on ahead of the host's.
        assert_eq!(service.decision(&token).await, 200, "{round}");
        service.log_out(&token).await;
        service.kill();
        out.push(token);
        service = program.start(&[]);
        for token in &out {
            assert_eq!(service.decision(token).await, 401, "{round}");
        }
        assert_eq!(service.decision(&kept).await, 200, "{round}");
    }
}

pub async fn i6_a_clean_restart_keeps_sessions_and_logouts(program: &Program) {
    let service = program.start(&[]);
    let (kept, out) = (service.token(ALICE).await, service.token(ALICE).await);
    service.log_out(&out).await;
    service.terminate();
    assert!(service.ended().success());
    let service = program.start(&[]);
    assert_eq!(service.decision(&kept).await, 200);
    assert_eq!(service.decision(&out).await, 401);
}
