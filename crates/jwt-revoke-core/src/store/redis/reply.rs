//! What a server answers, in the few kinds that are told apart here.

use std::fmt;

/// An answer of the server.
#[derive(Clone, PartialEq)]
pub(super) enum Reply {
    Nil,
    Int(i64),
    Text(Vec<u8>),
    List(Vec<Reply>),
    Other,
}

impl Reply {
    /// The text of an answer that is text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The number of an answer that is one that we wrote: not negative.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            Self::Text(_) => self.text()?.parse().ok(),
            _ => None,
        }
    }
}

/// For the reason of an error, and so for a log: short words, and of all else only how much it is.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_word = |text: &[u8]| text.len() <= 20 && text.iter().all(u8::is_ascii_graphic);
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Int(number) => number.fmt(f),
            Self::Text(text) if is_word(text) => f.write_str(&String::from_utf8_lossy(text)),
            Self::Text(text) => write!(f, "{} bytes", text.len()),
            Self::List(list) => {
                let shown = f.debug_list().entries(list.iter().take(4)).finish();
                let more = list.len().saturating_sub(4);
                shown.and_then(|()| {
                    if more > 0 {
                        write!(f, " and {more} more")
                    } else {
                        Ok(())
                    }
                })
            }
            Self::Other => f.write_str("something else"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_what_a_server_answers_does_not_reach_a_log_whole() {
        let text = |text: &str| Reply::Text(text.as_bytes().to_vec());
        assert_eq!(format!("{:?}", text("OK")), "OK");
        let session = text("alice on the phone in the kitchen");
        assert_eq!(format!("{session:?}"), "33 bytes");
        let list = Reply::List(vec![session; 6]);
        let told = "[33 bytes, 33 bytes, 33 bytes, 33 bytes] and 2 more";
        assert_eq!(format!("{list:?}"), told);
    }
}
