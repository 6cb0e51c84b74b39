//! What a login is told whose body cannot be read.

/// The status and the description of the error, from the status that the framework would answer.
///
/// Not the parser's words: they quote the body, and so the password.
pub fn malformed(status: u16) -> (u16, &'static str) {
    match status {
        413 => (413, "the body is too large"),
        415 => (415, "the body must be application/json"),
        _ => (
            400,
            "the body must be a JSON object with one username and one password",
        ),
    }
}
