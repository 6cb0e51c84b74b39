//! Public keys: read from DER, checked, named by their thumbprint.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use sha2::{Digest as _, Sha256};

use crate::{
    token::KeyId,
    verify::{
        Algorithm, KeyError,
        algorithm::{Curve, Family},
        key::{
            der::{self, RsaUse},
            edwards,
        },
    },
};

/// A public key that passed every check. The only way to one are the constructors.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The uncompressed point: 4, x, y.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519 {
        x: [u8; 32],
    },
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` (RFC 5280 §4.1), or for RSA also an `RSAPublicKey` (RFC 8017
    /// appendix A.1.1).
    pub(super) fn from_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        if der::leading_sequence(der).is_some_and(|first| first.len() < der.len()) {
            return Err(KeyError::Malformed("bytes follow the end of its DER"));
        }
        match algorithm.family() {
            Family::Hmac { .. } => Err(KeyError::WrongType(algorithm)),
            Family::Rsa => {
                let key = match der::public_key_info(der) {
                    Some((identifier, key)) => {
                        check_rsa_use(identifier, algorithm)?;
                        key
                    }
                    None => der,
                };
                let (n, e) = der::rsa_public_key(key).ok_or(KeyError::WrongType(algorithm))?;
                Self::rsa(n, e)
            }
            Family::Ec(curve) => {
                let prefix: &[u8] = match curve {
                    Curve::P256 => &P256_PREFIX,
                    Curve::P384 => &P384_PREFIX,
                };
                let point = der
                    .strip_prefix(prefix)
                    .ok_or(KeyError::WrongType(algorithm))?;
                Self::ec_point(curve, point)
            }
            Family::Ed25519 => {
                let x = der
                    .strip_prefix(&ED25519_PREFIX)
                    .ok_or(KeyError::WrongType(algorithm))?;
                Self::ed25519(x)
            }
        }
    }

    /// Checks an RSA key: 2048 to 8192 bits (RFC 7518 §3.3 for the lower bound; the upper one
    /// bounds the time of a verification), both odd, the exponent neither 1 nor beyond 33 bits.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = bits(n);
        if !(2048..=8192).contains(&bits) {
            return Err(KeyError::RsaSize(bits));
        }
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        if !odd(n) || !odd(e) || e == [1] || self::bits(e) > 33 {
            return Err(KeyError::UnsoundRsa);
        }
        Ok(Self::Rsa {
            n: n.to_vec(),
            e: e.to_vec(),
        })
    }

    /// Checks a point given by its coordinates, each of the curve's full length (RFC 7518 §6.2.1.2).
    pub(super) fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        if x.len() != curve.coordinate() || y.len() != curve.coordinate() {
            return Err(KeyError::InvalidPoint);
        }
        Self::ec_point(curve, &[&[4], x, y].concat())
    }

    /// Checks an uncompressed point.
    pub(super) fn ec_point(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        if point.len() != 1 + 2 * curve.coordinate() || point[0] != 4 {
            return Err(KeyError::InvalidPoint);
        }
        let parsed = match curve {
            Curve::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
            Curve::P384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point),
        };
        parsed.map_err(|_| KeyError::InvalidPoint)?;
        Ok(Self::Ec {
            curve,
            point: point.to_vec(),
        })
    }

    /// Checks an Ed25519 key: a point of the curve, and not one of small order, under which everyone
    /// can sign (RFC 8032 §5.1.7 leaves it to the caller).
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, KeyError> {
        let x: [u8; 32] = x.try_into().map_err(|_| KeyError::InvalidPoint)?;
        let mut y = x;
        y[31] &= 0x7f;
        if SMALL_ORDER.contains(&y) || !edwards::is_point(&x) {
            return Err(KeyError::InvalidPoint);
        }
        Ok(Self::Ed25519 { x })
    }

    /// Whether `algorithm` takes a key like this one.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        match (self, algorithm.family()) {
            (Self::Rsa { .. }, Family::Rsa) | (Self::Ed25519 { .. }, Family::Ed25519) => true,
            (Self::Ec { curve, .. }, Family::Ec(wanted)) => *curve == wanted,
            _ => false,
        }
    }

    /// The key as the verifying crate wants it.
    pub(super) fn decoding_key(&self) -> DecodingKey {
        match self {
            Self::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Self::Ec { point, .. } => DecodingKey::from_ec_der(point),
            Self::Ed25519 { x } => DecodingKey::from_ed_der(x),
        }
    }

    /// The members that make up the key, in the lexicographic order of RFC 7638 §3.2.
    pub(super) fn jwk_members(&self) -> Vec<(&'static str, String)> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa { n, e } => vec![("e", text(e)), ("kty", "RSA".into()), ("n", text(n))],
            Self::Ec { curve, point } => {
                let (x, y) = point[1..].split_at(curve.coordinate());
                vec![
                    ("crv", curve.name().into()),
                    ("kty", "EC".into()),
                    ("x", text(x)),
                    ("y", text(y)),
                ]
            }
            Self::Ed25519 { x } => vec![
                ("crv", "Ed25519".into()),
                ("kty", "OKP".into()),
                ("x", text(x)),
            ],
        }
    }

    /// The JWK thumbprint with SHA-256 (RFC 7638 §3, RFC 8037 §2).
    pub(super) fn thumbprint(&self) -> KeyId {
        let members: Vec<String> = self
            .jwk_members()
            .iter()
            .map(|(name, value)| format!("\"{name}\":\"{value}\""))
            .collect();
        thumbprint_of(&format!("{{{}}}", members.join(",")))
    }
}

/// Whether the `AlgorithmIdentifier` with these contents lets an RSA key serve `algorithm`.
pub(super) fn check_rsa_use(
    identifier: der::Reader<'_>,
    algorithm: Algorithm,
) -> Result<(), KeyError> {
    match der::rsa_use(identifier, algorithm) {
        Some(RsaUse::Allowed) => Ok(()),
        Some(RsaUse::Restricted) => Err(KeyError::Restricted(algorithm)),
        None => Err(KeyError::WrongType(algorithm)),
    }
}

/// The base64url text of the SHA-256 of a JWK's required members.
pub(super) fn thumbprint_of(json: &str) -> KeyId {
    URL_SAFE_NO_PAD.encode(Sha256::digest(json)).into()
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn bits(number: &[u8]) -> usize {
    let leading = number
        .first()
        .map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - leading
}

/// All of a `SubjectPublicKeyInfo` that comes before an uncompressed point (RFC 5480 §2).
const P256_PREFIX: [u8; 26] = *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384_PREFIX: [u8; 23] = *b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
/// The same for Ed25519 (RFC 8410 §4).
const ED25519_PREFIX: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// The points of order 1, 2, 4 and 8, by their y coordinate (little-endian, without the sign), in
/// every encoding: 0, 1, -1, p, p + 1, and the two of order 8.
const SMALL_ORDER: [[u8; 32]; 7] = [
    little(0x00, 0x00, 0x00),
    little(0x01, 0x00, 0x00),
    little(0xec, 0xff, 0x7f),
    little(0xed, 0xff, 0x7f),
    little(0xee, 0xff, 0x7f),
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
];

const fn little(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t7_a_point_off_its_curve_is_refused() {
        let curve = Curve::P256;
        assert_eq!(
            PublicKey::ec(curve, &[1; 32], &[1; 32]).err(),
            Some(KeyError::InvalidPoint)
        );
        assert_eq!(
            PublicKey::ec(curve, &[0; 31], &[0; 32]).err(),
            Some(KeyError::InvalidPoint)
        );
    }

    #[test]
    fn t7_an_ed25519_key_of_small_order_is_refused() {
        for sign in [0, 0x80] {
            for mut x in SMALL_ORDER {
                x[31] |= sign;
                assert_eq!(PublicKey::ed25519(&x).err(), Some(KeyError::InvalidPoint));
            }
        }
        assert!(PublicKey::ed25519(&[9; 31]).is_err());
    }

    #[test]
    fn t7_an_rsa_key_that_means_nothing_is_refused() {
        let mut n = [0xff; 256];
        assert!(PublicKey::rsa(&n, &[1, 0, 1]).is_ok());
        for e in [
            &[][..],
            &[0],
            &[1],
            &[0, 1],
            &[1, 0, 0],
            &[1, 0, 0, 0, 0, 1, 1],
        ] {
            assert_eq!(
                PublicKey::rsa(&n, e).err(),
                Some(KeyError::UnsoundRsa),
                "{e:?}"
            );
        }
        n[255] = 0xfe;
        assert_eq!(PublicKey::rsa(&n, &[3]).err(), Some(KeyError::UnsoundRsa));
        // Leading zeros do not make a key longer.
        let mut padded = vec![0; 200];
        padded.extend([0xff; 128]);
        assert_eq!(
            PublicKey::rsa(&padded, &[3]).err(),
            Some(KeyError::RsaSize(1024))
        );
        assert_eq!(
            PublicKey::rsa(&[0xff; 1025], &[3]).err(),
            Some(KeyError::RsaSize(8200))
        );
        assert_eq!(
            PublicKey::rsa(
                &{
                    let mut n = [0xff; 256];
                    n[0] = 0x7f;
                    n
                },
                &[3]
            )
            .err(),
            Some(KeyError::RsaSize(2047))
        );
    }

    #[test]
    fn a_thumbprint_is_that_of_rfc_7638_and_rfc_8037() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let decode = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
        let rsa = PublicKey::rsa(&decode(n), &decode("AQAB")).ok().unwrap();
        assert_eq!(
            rsa.thumbprint().as_str(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        let x = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let okp = PublicKey::ed25519(&x).ok().unwrap();
        assert_eq!(
            okp.thumbprint().as_str(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }
}
