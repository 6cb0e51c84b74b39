//! Reading DER (ITU-T X.690 §10): one spelling of each length and number, and nothing after the end.

use crate::verify::Algorithm;

/// What is left of the contents of an element.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(contents: &'a [u8]) -> Self {
        Self(contents)
    }

    /// The contents of the next element, which has this tag.
    pub(super) fn read(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (_, contents, rest) = element(self.0).filter(|(found, ..)| *found == tag)?;
        self.0 = rest;
        Some(contents)
    }

    /// The same, where the next element may be another one, or none.
    pub(super) fn read_optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) {
            return self.read(tag).map(Some);
        }
        Some(None)
    }

    /// A number that is not negative, without leading zeros.
    pub(super) fn read_unsigned(&mut self) -> Option<&'a [u8]> {
        match self.read(INTEGER)? {
            [0] => Some(&[]),
            // Another zero than the one that keeps the number from being negative.
            [0, rest @ ..] => (rest[0] >= 0x80).then_some(rest),
            number => number
                .first()
                .is_some_and(|first| *first < 0x80)
                .then_some(number),
        }
    }

    /// Whether nothing is left.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The contents of a sequence that is all of `der`.
pub(super) fn sequence(der: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(der);
    let contents = reader.read(SEQUENCE)?;
    reader.end()?;
    Some(Reader::new(contents))
}

/// The bytes of the sequence with which `bytes` begins, whatever follows it.
pub(super) fn leading_sequence(bytes: &[u8]) -> Option<&[u8]> {
    let (_, _, rest) = element(bytes).filter(|(tag, ..)| *tag == SEQUENCE)?;
    Some(&bytes[..bytes.len() - rest.len()])
}

/// `SubjectPublicKeyInfo` (RFC 5280 §4.1): the contents of the `AlgorithmIdentifier`, and the key.
pub(super) fn public_key_info(der: &[u8]) -> Option<(Reader<'_>, &[u8])> {
    let mut info = sequence(der)?;
    let algorithm = info.read(SEQUENCE)?;
    let key = whole_bytes(info.read(BITS)?)?;
    info.end()?;
    Some((Reader::new(algorithm), key))
}

/// `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5208 §5, RFC 5958 §2): the contents of the
/// `AlgorithmIdentifier`, and the key, which is one element.
pub(super) fn private_key_info(der: &[u8]) -> Option<(Reader<'_>, &[u8])> {
    let mut info = sequence(der)?;
    info.read_unsigned()?;
    let algorithm = info.read(SEQUENCE)?;
    let key = info.read(OCTETS)?;
    info.read_optional(ATTRIBUTES)?;
    info.read_optional(PUBLIC_KEY)?;
    info.read_optional(EXPLICIT_PUBLIC_KEY)?;
    info.end()?;
    is_one_element(key).then(|| (Reader::new(algorithm), key))
}

/// `RSAPublicKey` (RFC 8017 appendix A.1.1): modulus and exponent.
pub(super) fn rsa_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut key = sequence(der)?;
    let (n, e) = (key.read_unsigned()?, key.read_unsigned()?);
    key.end()?;
    Some((n, e))
}

/// The `SubjectPublicKeyInfo` of a certificate (RFC 5280 §4.1).
pub(super) fn public_key_of_certificate(der: &[u8]) -> Option<&[u8]> {
    let mut certificate = sequence(der)?;
    let mut signed = Reader::new(certificate.read(SEQUENCE)?);
    signed.read_optional(VERSION)?;
    signed.read(INTEGER)?; // The serial number.
    for _ in ["signature", "issuer", "validity", "subject"] {
        signed.read(SEQUENCE)?;
    }
    leading_sequence(signed.0)
}

/// Whether `der` is one element and nothing else.
pub(super) fn is_one_element(der: &[u8]) -> bool {
    element(der).is_some_and(|(_, _, rest)| rest.is_empty())
}

/// What an `AlgorithmIdentifier` says of an RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RsaUse {
    /// It is for each algorithm of RSA.
    Allowed,
    /// It is an RSASSA-PSS key (RFC 4055 §3.1), and not for this algorithm.
    Restricted,
}

/// Whether an RSA key with these contents of its `AlgorithmIdentifier` may serve `algorithm`; `None`
/// if it is no RSA key for signatures.
pub(super) fn rsa_use(mut identifier: Reader<'_>, algorithm: Algorithm) -> Option<RsaUse> {
    match identifier.read(OBJECT_ID)? {
        RSA => {
            // "MUST be NULL" (RFC 3279 §2.3.1).
            identifier.read(NULL).filter(|null| null.is_empty())?;
            identifier.end()?;
            Some(RsaUse::Allowed)
        }
        RSA_PSS => {
            let parameters = identifier.read_optional(SEQUENCE)?;
            identifier.end()?;
            let (hash, length): (&[u8], u8) = match algorithm {
                Algorithm::PS256 => (SHA256, 32),
                Algorithm::PS384 => (SHA384, 48),
                Algorithm::PS512 => (SHA512, 64),
                _ => return Some(RsaUse::Restricted),
            };
            let Some(parameters) = parameters else {
                return Some(RsaUse::Allowed);
            };
            let (own_hash, own_salt) = pss_parameters(Reader::new(parameters))?;
            // The salt is as long as the hash (RFC 7518 §3.5); what the key says is the least.
            let allowed = own_hash == hash && own_salt <= length;
            Some(if allowed {
                RsaUse::Allowed
            } else {
                RsaUse::Restricted
            })
        }
        _ => None,
    }
}

/// `RSASSA-PSS-params` (RFC 4055 §3.1): the hash, which MGF1 must share, and the length of the salt.
/// `None` for another mask or trailer, too. SHA-1, which is the default, is named by its own id.
fn pss_parameters(mut parameters: Reader<'_>) -> Option<(&[u8], u8)> {
    let hash = match parameters.read_optional(HASH)? {
        Some(hash) => hash_identifier(hash)?,
        None => SHA1,
    };
    let mask_hash = match parameters.read_optional(MASK)? {
        Some(mask) => {
            let mut mask = sequence(mask)?;
            mask.read(OBJECT_ID).filter(|id| *id == MGF1)?;
            hash_identifier(mask.0)?
        }
        None => SHA1,
    };
    let salt = match parameters.read_optional(SALT)? {
        Some(salt) => match unsigned(salt)? {
            [] => 0,
            [length] => *length,
            _ => return None,
        },
        None => 20,
    };
    if let Some(trailer) = parameters.read_optional(TRAILER)? {
        unsigned(trailer).filter(|trailer| *trailer == [1])?;
    }
    parameters.end()?;
    (mask_hash == hash).then_some((hash, salt))
}

/// The id in an `AlgorithmIdentifier` of a hash, whose parameters are NULL or absent.
fn hash_identifier(der: &[u8]) -> Option<&[u8]> {
    let mut identifier = sequence(der)?;
    let id = identifier.read(OBJECT_ID)?;
    if let Some(null) = identifier.read_optional(NULL)? {
        null.is_empty().then_some(())?;
    }
    identifier.end()?;
    Some(id)
}

fn unsigned(der: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(der);
    let number = reader.read_unsigned()?;
    reader.end()?;
    Some(number)
}

/// The bytes of a bit string whose last byte is whole.
fn whole_bytes(bits: &[u8]) -> Option<&[u8]> {
    match bits {
        [0, bytes @ ..] => Some(bytes),
        _ => None,
    }
}

/// The tag and the contents of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            // As few bytes as can be (X.690 §10.1).
            let shortest = bytes[0] != 0 && length > 0x7f;
            (shortest.then_some(length)?, rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// `[0]` and `[1]` of a private key, as they are written since they are implicit.
const ATTRIBUTES: u8 = 0xa0;
const PUBLIC_KEY: u8 = 0x81;
/// As ring and its relatives write it, against the standard.
const EXPLICIT_PUBLIC_KEY: u8 = 0xa1;
/// `[0]` of a certificate.
const VERSION: u8 = 0xa0;
/// `[0]` to `[3]` of the parameters of RSASSA-PSS.
const HASH: u8 = 0xa0;
const MASK: u8 = 0xa1;
const SALT: u8 = 0xa2;
const TRAILER: u8 = 0xa3;

/// 1.2.840.113549.1.1.1, .8 and .10 (RFC 8017 appendix C).
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const MGF1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
const RSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
/// 1.3.14.3.2.26, and 2.16.840.1.101.3.4.2.1, .2 and .3.
const SHA1: &[u8] = b"\x2b\x0e\x03\x02\x1a";
const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const SHA384: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x02";
const SHA512: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x03";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_one_spelling() {
        let long = |prefix: &[u8], length: usize| [prefix, &vec![0; length]].concat();
        assert!(is_one_element(&[0x04, 0x01, 7]));
        assert!(is_one_element(&long(&[0x04, 0x81, 0x80], 128)));
        assert!(is_one_element(&long(&[0x04, 0x82, 1, 0], 256)));
        for wrong in [
            long(&[0x04, 0x81, 0x7f], 127),
            long(&[0x04, 0x82, 0, 0x80], 128),
            long(&[0x04, 0x80], 4),
            long(&[0x04, 0x01], 2),
            long(&[0x04, 0x05], 4),
            vec![0x04],
            vec![0x04, 0x82, 1],
            vec![],
        ] {
            assert!(!is_one_element(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_number_has_one_spelling() {
        let number = |der: &[u8]| Reader::new(der).read_unsigned().map(<[u8]>::to_vec);
        assert_eq!(number(&[2, 1, 0]), Some(vec![]));
        assert_eq!(number(&[2, 1, 0x7f]), Some(vec![0x7f]));
        assert_eq!(number(&[2, 2, 0, 0x80]), Some(vec![0x80]));
        // None, negative, a zero too many.
        for wrong in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 0x7f], &[2, 2, 0, 0]] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }
}
