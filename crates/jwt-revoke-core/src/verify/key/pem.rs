//! PEM (RFC 7468), strictly, without copies of a private key that nobody wipes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::verify::KeyError;

/// One PEM block.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    pub(super) contents: Zeroizing<Vec<u8>>,
}

/// Whether a text has a PEM block.
pub(super) fn looks_like(text: &str) -> bool {
    text.contains(BEGIN)
}

/// The one block of a text; what stands around it is explanation (RFC 7468 §2), as are a byte order
/// mark and quotes. `EC PARAMETERS`, which `openssl ecparam` writes before a key, are passed over.
///
/// Line breaks may be spaces, or the two characters `\n`: keys come from environment variables, which
/// hold one line. A backslash stands in no base64, so this reads no text in two ways.
pub(super) fn read(text: &str) -> Result<Block<'_>, KeyError> {
    let mut found = None;
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (label, after) = after
            .split_once(DASHES)
            .ok_or(KeyError::Malformed("the PEM block does not begin"))?;
        let end = format!("-----END {label}{DASHES}");
        let (body, after) = after
            .split_once(&end)
            .ok_or(KeyError::Malformed("the PEM block does not end"))?;
        rest = after;
        if label == "EC PARAMETERS" {
            continue;
        }
        if found.replace((label, body)).is_some() {
            return Err(KeyError::Malformed("several PEM blocks, one is expected"));
        }
    }
    let (label, body) = found.ok_or_else(|| KeyError::Malformed(absence(text)))?;
    if label.contains("ENCRYPTED") || body.contains("ENCRYPTED") {
        return Err(KeyError::Malformed(
            "the PEM block is encrypted; decrypt it with `openssl pkey`",
        ));
    }
    let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
    for line in lines(body) {
        base64.extend(line.bytes().filter(|b| !b.is_ascii_whitespace()));
    }
    // Room at once: a buffer that grows leaves copies behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(base64.len()));
    STANDARD
        .decode_vec(&*base64, &mut contents)
        .map_err(|_| KeyError::Malformed("the PEM block is not base64"))?;
    Ok(Block { label, contents })
}

/// The lines of a text, without the white space around them. A line ends in a line break, or in one
/// that was written as `\n`, `\r\n` or, escaped twice, `\\n`.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let at = whole.find(['\n', '\\']).unwrap_or(whole.len());
        let (line, after) = whole.split_at(at);
        rest = match after.strip_prefix('\n') {
            Some(after) => Some(after),
            None if after.is_empty() => None,
            None => match after.trim_start_matches('\\').strip_prefix(['n', 'r']) {
                Some(after) => Some(after),
                // No line break: the backslash stays, for what reads the line to refuse.
                None => {
                    let end = whole.find('\n');
                    rest = end.map(|end| &whole[end + 1..]);
                    return Some(whole[..end.unwrap_or(whole.len())].trim());
                }
            },
        };
        Some(line.trim())
    })
}

/// Why a text has no block.
fn absence(text: &str) -> &'static str {
    // "-----BEGIN" in base64.
    if text.trim_start().starts_with("LS0tLS1CRUdJTi") {
        return "PEM that was encoded in base64 once more; decode it";
    }
    "not PEM; it lacks a line \"-----BEGIN ..-----\""
}

/// Writes one block, lines of 64 characters.
pub(super) fn write(label: &str, contents: &[u8], to: &mut Zeroizing<String>) {
    let mut base64 = Zeroizing::new(vec![0; contents.len().div_ceil(3) * 4]);
    // The buffer has exactly the length of padded base64, so encoding cannot fail.
    let length = STANDARD.encode_slice(contents, &mut base64).unwrap_or(0);
    to.reserve(base64.len() + base64.len() / 64 + 2 * label.len() + 64);
    to.push_str(BEGIN);
    to.push_str(label);
    to.push_str(DASHES);
    to.push('\n');
    for line in base64[..length].chunks(64) {
        to.extend(line.iter().copied().map(char::from));
        to.push('\n');
    }
    to.push_str("-----END ");
    to.push_str(label);
    to.push_str(DASHES);
    to.push('\n');
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_reads_back() {
        for length in [0, 1, 47, 48, 49, 300] {
            let contents: Vec<u8> = (0..=255).cycle().take(length).collect();
            let mut text = Zeroizing::new("explanation\n".to_owned());
            write("PRIVATE KEY", &contents, &mut text);
            let block = read(&text).unwrap();
            assert_eq!(
                (block.label, &**block.contents),
                ("PRIVATE KEY", &contents[..])
            );
            assert!(text.lines().all(|line| line.len() <= 64));
        }
    }

    #[test]
    fn what_is_not_one_block_is_refused() {
        let block = "-----BEGIN A-----\nAAAA\n-----END A-----\n";
        for text in [
            "",
            "AAAA",
            "-----BEGIN A",
            "-----BEGIN A-----\nAAAA",
            "-----BEGIN A-----\nAAAA\n-----END B-----",
            "-----BEGIN A-----\nA?AA\n-----END A-----",
            &format!("{block}{block}"),
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(block).is_ok());
    }

    #[test]
    fn t32_a_block_reads_as_it_comes_out_of_an_environment_variable() {
        let mut text = Zeroizing::new(String::new());
        write("PRIVATE KEY", &[7; 100], &mut text);
        for spelling in [
            text.replace('\n', "\\n"),
            text.replace('\n', "\\r\\n"),
            text.replace('\n', "\\\\n"),
            text.replace('\n', "\r\n"),
            text.replace('\n', " "),
            text.replace('\n', "\n    "),
            format!("\u{feff}{}", &*text),
            format!("\"{}\"", text.replace('\n', "\\n")),
            format!("'{}'", &*text),
            format!("KEY={}", &*text),
        ] {
            assert_eq!(
                read(&spelling).map(|block| block.contents.to_vec()),
                Ok(vec![7; 100]),
                "{spelling}"
            );
        }
        // Other backslashes are no line breaks.
        for spelling in [
            text.replace('\n', "\\t"),
            text.replace('\n', "\\"),
            text.replacen("Bw", "\\B", 1),
        ] {
            assert!(read(&spelling).is_err(), "{spelling}");
        }
    }

    #[test]
    fn what_is_almost_pem_is_told_by_its_name() {
        let reason = |text: &str| read(text).err().unwrap().to_string();
        let twice = STANDARD.encode("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----");
        assert!(reason(&twice).contains("base64 once more"));
        assert!(reason("keys/private.pem").contains("BEGIN"));
    }
}
