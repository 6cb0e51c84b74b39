//! Text from outside, made fit for one line of a log.

use std::fmt::{self, Write as _};

/// Text from outside, as it may stand in one line of a log.
///
/// A plain word is written as it is; any other text between quotes, with quotes and backslashes
/// escaped. Characters that cannot be seen, break lines or reorder text are escaped too: control and
/// format characters (bidirectional ones among them), separators, and those that are private or not
/// assigned. So no value of a token can add fields or lines to the log.
///
/// ```
/// use jwt_revoke_core::Quoted;
///
/// assert_eq!(Quoted("alice@example.com").to_string(), "alice@example.com");
/// assert_eq!(Quoted("bob kind=Reuse\u{2028}x").to_string(), r#""bob kind=Reuse\u{2028}x""#);
/// assert_eq!(Quoted("").to_string(), r#""""#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Quoted<T>(pub T);

impl<T: AsRef<str>> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_ref();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@/+".contains(&b);
        if !text.is_empty() && text.bytes().all(plain) {
            return f.write_str(text);
        }
        // What is not printable (Unicode's Cc, Cf, Co, Cn, Zl, Zp, and Zs but the space) is escaped.
        fmt::Debug::fmt(text, f)
    }
}

/// Writes a text without quotes, what cannot be printed escaped.
pub(crate) fn write_escaped(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in text.chars() {
        if is_printable(c) {
            f.write_char(c)?;
        } else {
            write!(f, "{}", c.escape_debug())?;
        }
    }
    Ok(())
}

/// A name that people are shown, without what cannot be printed. Other spaces become plain ones.
///
/// Joiners (U+200C, U+200D) stay between two characters beyond ASCII, where writing and emoji need
/// them; between Latin letters they could only hide.
pub(crate) fn printable(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_joined = |c: char| !c.is_ascii() && is_printable(c);
        match c {
            JOINER | NON_JOINER => {
                let before = kept.chars().next_back().is_some_and(is_joined);
                if before && rest.peek().copied().is_some_and(is_joined) {
                    kept.push(c);
                }
            }
            LINE_SEPARATOR | PARAGRAPH_SEPARATOR => {}
            c if c.is_whitespace() && !c.is_control() => kept.push(' '),
            c if is_printable(c) => kept.push(c),
            _ => {}
        }
    }
    kept
}

/// Whether a character shows. The standard library knows, by what it escapes; behind a letter, since
/// it also escapes a combining mark that has none.
fn is_printable(c: char) -> bool {
    let mut behind = [b'a'; 5];
    let length = c.encode_utf8(&mut behind[1..]).len();
    let text = std::str::from_utf8(&behind[..=length]).unwrap_or_default();
    matches!(c, '"' | '\'' | '\\') || text.escape_debug().nth(2).is_none()
}

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';
const LINE_SEPARATOR: char = '\u{2028}';
const PARAGRAPH_SEPARATOR: char = '\u{2029}';

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each kind that must not stand in a log: controls, bidirectional, invisible, tags, separators,
    /// private, not assigned.
    const HIDDEN: [char; 20] = [
        '\0',
        '\n',
        '\r',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{9b}',
        '\u{ad}',
        '\u{61c}',
        '\u{200b}',
        '\u{200e}',
        '\u{202e}',
        '\u{2028}',
        '\u{2029}',
        '\u{2066}',
        '\u{feff}',
        '\u{e0041}',
        '\u{e000}',
        '\u{378}',
        '\u{10ffff}',
    ];

    #[test]
    fn t35_what_cannot_be_seen_is_escaped_and_what_is_no_word_is_quoted() {
        for c in HIDDEN {
            let quoted = Quoted(format!("a{c}b")).to_string();
            assert!(
                quoted.starts_with("\"a\\") && quoted.ends_with("b\""),
                "{quoted}"
            );
            assert!(
                !quoted.contains(c) && !printable(&format!("a{c}b")).contains(c),
                "{c:?}"
            );
        }
        for (text, quoted) in [
            ("alice@example.com", "alice@example.com"),
            (
                "018bcfe5-68fb-7000-a000-000000000000",
                "018bcfe5-68fb-7000-a000-000000000000",
            ),
            ("https://auth.example.com/a", "https://auth.example.com/a"),
            ("a b", "\"a b\""),
            ("a=b", "\"a=b\""),
            ("a\"b\\", r#""a\"b\\""#),
            ("é", "\"é\""),
            ("{a}", "\"{a}\""),
            ("", "\"\""),
        ] {
            assert_eq!(Quoted(text).to_string(), quoted);
        }
    }

    #[test]
    fn t35_a_label_keeps_what_people_write() {
        for (label, kept) in [
            ("Firefox on Windows", "Firefox on Windows"),
            ("Zoë’s \"iPhone\" \\ 'x'", "Zoë’s \"iPhone\" \\ 'x'"),
            ("e\u{301}", "e\u{301}"),
            ("家の\u{3000}iPad\u{a0}2", "家の iPad 2"),
            // A family, a heart with a variation selector, a word of Persian.
            ("👩\u{200d}👧", "👩\u{200d}👧"),
            ("❤\u{fe0f}", "❤\u{fe0f}"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("pay\u{200d}pal\u{200c}", "paypal"),
            ("\u{200d}👧\u{200d}", "👧"),
            ("a\u{202e}b\u{2028}c\u{e0041}", "abc"),
        ] {
            assert_eq!(printable(label), kept);
        }
    }
}
