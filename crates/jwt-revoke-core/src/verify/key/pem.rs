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

/// The one block of a text; what stands around it is explanation (RFC 7468 §2). `EC PARAMETERS`,
/// which `openssl ecparam` writes before a key, are passed over.
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
    let (label, body) = found.ok_or(KeyError::Malformed("not PEM"))?;
    if label.contains("ENCRYPTED") || body.contains("ENCRYPTED") {
        return Err(KeyError::Malformed("the PEM block is encrypted"));
    }
    let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
    base64.extend(body.bytes().filter(|b| !b.is_ascii_whitespace()));
    // Room at once: a buffer that grows leaves copies behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(base64.len()));
    STANDARD
        .decode_vec(&*base64, &mut contents)
        .map_err(|_| KeyError::Malformed("the PEM block is not base64"))?;
    Ok(Block { label, contents })
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
}
