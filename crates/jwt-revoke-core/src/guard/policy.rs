//! Policies that belong to a handle of the guard.

/// What happens to a request while the store does not answer, so that nobody can say whether its
/// token was revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outage {
    /// Refuse with 503 and `Retry-After`. Never 401: a client must not throw away a good token.
    #[default]
    Deny,
    /// Let it through, and log each such request. **Weakens security**: whoever can keep the store
    /// from answering can use a revoked token until `exp`. What is known to be revoked is refused
    /// all the same.
    Allow,
}
