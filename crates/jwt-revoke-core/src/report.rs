//! Errors with their causes, for a line in a log.

use std::{error::Error, fmt};

use crate::quoted::{self, Quoted};

/// An error and all of its causes, parted by colons. `Display` of an error tells only its own part. What
/// has been said already is not said again. Characters that cannot be printed are escaped: what an application's
/// errors quote may come from outside.
///
/// ```
/// use jwt_revoke_core::Report;
///
/// let error = std::io::Error::other("no space left");
/// assert_eq!(Report(&error).to_string(), "no space left");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Report<'a>(pub &'a (dyn Error + 'static));

impl Report<'_> {
    /// The same as the value of a field: between quotes, so that it cannot be taken for other fields.
    pub fn quoted(self) -> Quoted<String> {
        Quoted(self.to_text())
    }

    fn to_text(self) -> String {
        let mut said = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                said.push_str(": ");
                said.push_str(&text);
            }
            cause = error.source();
        }
        said
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quoted::write_escaped(&self.to_text(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        guard::Denied,
        revocation::{Cutoff, Digest, Dimension, Shard},
        store::{Lookup, StoreError},
    };

    #[test]
    fn an_error_that_speaks_for_its_cause_is_not_followed_by_it() {
        let failed = StoreError::Failed {
            store: "mine".into(),
            reason: "no answer".into(),
        };
        let digests = [Digest::of(&Dimension::Jti, "iss", b"1")];
        let known = Lookup::new(Shard::FIRST, &digests).cutoffs([(0, Cutoff::Forever)]);
        let denied = Denied::StoreUnavailable(failed.knowing(known));
        assert_eq!(
            Report(&denied).to_string(),
            "revocation state is unknown: mine failed: no answer"
        );
    }
}
