//! What a login opens and a logout closes.

mod issue;

pub use self::issue::{Grant, GrantError, IssueError, Issued, Issuer};
