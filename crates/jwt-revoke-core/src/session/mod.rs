//! What a login opens and a logout closes.

mod issue;
mod policy;
mod record;
mod rotate;

pub use self::{
    issue::{Grant, GrantError, IssueError, Issued, Issuer},
    policy::{Policy, ReuseScope, SessionCap, WhenFull},
    record::{AttemptId, Identity, Record, SPENDS},
    rotate::{Effect, Outcome, Presented, Proposal, rotate},
};
