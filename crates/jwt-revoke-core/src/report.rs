//! Errors with their causes, for a line in a log.

use std::{error::Error, fmt};

/// An error and all of its causes, parted by colons. `Display` of an error tells only its own part.
///
/// ```
/// use jwt_revoke_core::Report;
///
/// let error = std::io::Error::other("no space left");
/// assert_eq!(Report(&error).to_string(), "no space left");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Report<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
