//! The text in which a signing key is kept.

use zeroize::Zeroizing;

use crate::verify::{Algorithm, KeyError, SigningKey, key::pem};

/// Writes `alg: ..`, `kid: ..` and the PEM block of `material`. What stands before a block is
/// explanation to other readers of PEM (RFC 7468 §2).
pub(super) fn write(key: &SigningKey, material: &[u8]) -> Zeroizing<String> {
    // Room at once: a text that grows leaves copies behind.
    let room = material.len() * 3 / 2 + key.id().as_str().len() * 6 + 256;
    let mut text = Zeroizing::new(String::with_capacity(room));
    let label = if key.algorithm().is_symmetric() {
        SECRET
    } else {
        PRIVATE
    };
    text.push_str("alg: ");
    text.push_str(key.algorithm().name());
    // Escaped, so that no id can end its line.
    text.push_str("\nkid: ");
    text.push_str(&serde_json::Value::from(key.id().as_str()).to_string());
    text.push('\n');
    pem::write(label, material, &mut text);
    text
}

/// Reads what `write` wrote.
pub(super) fn read(text: &str) -> Result<SigningKey, KeyError> {
    // Around it may be what around PEM may be: a byte order mark, quotes.
    let text = text.trim_start_matches(['\u{feff}', '"', '\'', ' ']);
    // In a text with line breaks a `\n` belongs to the id, which is written as JSON.
    let lines: Vec<&str> = if text.contains('\n') {
        text.lines().map(str::trim).collect()
    } else {
        pem::lines(text).collect()
    };
    let field = |name: &str| {
        let header = lines.iter().take_while(|line| !line.starts_with("-----"));
        let mut values = header.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.next().map(str::trim)
    };
    let algorithm: Algorithm = field("alg")
        .ok_or(KeyError::Malformed(
            "the key file lacks the line \"alg: ..\" before the key; write it with `to_key_file`",
        ))?
        .parse()
        .map_err(|_| KeyError::Malformed("the key file names an unknown algorithm"))?;
    let block = pem::read(text)?;
    let key = match (block.label, algorithm.is_symmetric()) {
        (SECRET, true) => SigningKey::from_secret(algorithm, &block.contents)?,
        (PRIVATE, false) => SigningKey::from_pkcs8_der(algorithm, &block.contents)?,
        _ => return Err(KeyError::WrongType(algorithm)),
    };
    match field("kid") {
        None => Ok(key),
        Some(kid) => {
            let kid: String = serde_json::from_str(kid).map_err(|_| KeyError::InvalidKeyId)?;
            key.with_id(kid)
        }
    }
}

const PRIVATE: &str = "PRIVATE KEY";
const SECRET: &str = "SECRET KEY";
