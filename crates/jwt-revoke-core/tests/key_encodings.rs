//! Keys that are almost right: what a key's own encoding says is heeded, and nothing beside it is taken.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod support;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jwt_revoke_core::verify::{Algorithm, KeyError, KeySet, SigningKey, VerificationKey, Verifier};
use serde_json::{Value, json};
use support::*;

/// The bytes in a PEM block.
fn der(pem: &str) -> Vec<u8> {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    STANDARD.decode(body).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

/// One element of DER.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
    let head = match length {
        [0, short @ 0..=0x7f] => vec![tag, short],
        [0, long] => vec![tag, 0x81, long],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [&head, contents].concat()
}

/// PKCS#8 of a key, as it stands in its file.
fn pkcs8(key: &SigningKey) -> Vec<u8> {
    let file = key.to_key_file();
    der(&file[file.find("-----").unwrap()..])
}

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

#[test]
fn t32_a_key_for_pss_serves_what_its_parameters_allow() {
    let all = [Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
    for (private, public, allowed) in [
        (PSS_PRIVATE, PSS_PUBLIC, &all[..]),
        (PSS_384_PRIVATE, PSS_384_PUBLIC, &[Algorithm::PS384]),
    ] {
        for algorithm in RSA {
            let verifying = VerificationKey::from_pem(algorithm, public);
            let signing = SigningKey::from_pem(algorithm, private);
            assert_eq!(
                verifying.is_ok(),
                allowed.contains(&algorithm),
                "{algorithm}"
            );
            assert_eq!(signing.is_ok(), allowed.contains(&algorithm), "{algorithm}");
            if let (Ok(verifying), Ok(signing)) = (verifying, signing) {
                assert_eq!(verifying.id(), signing.id());
                let verifier = Verifier::new(verifying, ISSUER, AUDIENCE).with_clock(clock_at(NOW));
                assert!(verifier.verify(&access(&signing, &claims())).is_ok());
            }
        }
    }
}

#[test]
fn t32_nothing_may_follow_the_der_of_a_key() {
    let spki = |pem: &str| der(pem);
    for (algorithm, public) in [
        (Algorithm::PS256, spki(PSS_PUBLIC)),
        (Algorithm::ES256, spki(P256_PUBLIC)),
        (Algorithm::EdDSA, spki(ED25519_PUBLIC)),
        (Algorithm::RS256, rsa_public_key()),
        (Algorithm::RS256, rsa_spki(&[0x05, 0])),
    ] {
        assert!(
            VerificationKey::from_der(algorithm, &public).is_ok(),
            "{algorithm}"
        );
        for more in [&[0][..], &[0x30, 0], &public] {
            let longer = [&public, more].concat();
            assert!(
                VerificationKey::from_der(algorithm, &longer).is_err(),
                "{algorithm}"
            );
            let longer = pem("PUBLIC KEY", &longer);
            assert!(
                VerificationKey::from_pem(algorithm, &longer).is_err(),
                "{algorithm}"
            );
        }
        // Cut anywhere.
        for length in 0..public.len() {
            assert!(VerificationKey::from_der(algorithm, &public[..length]).is_err());
        }
    }
    for algorithm in Algorithm::ALL.into_iter().filter(|a| !a.is_symmetric()) {
        let private = pkcs8(key(algorithm));
        assert!(
            SigningKey::from_pkcs8_der(algorithm, &private).is_ok(),
            "{algorithm}"
        );
        for more in [&[0][..], &[0x05, 0]] {
            let longer = [&private, more].concat();
            assert!(
                SigningKey::from_pkcs8_der(algorithm, &longer).is_err(),
                "{algorithm}"
            );
        }
        // Inside: behind the key in its octet string, with all lengths put right.
        let (version, identifier, inner) = parts(&private);
        let longer = element(0x04, &[&inner[..], &[0x05, 0]].concat());
        let longer = element(0x30, &[version, identifier, longer].concat());
        assert!(
            SigningKey::from_pkcs8_der(algorithm, &longer).is_err(),
            "{algorithm}"
        );
    }
    let rsa = pkcs8(key(Algorithm::RS256));
    let (_, _, inner) = parts(&rsa);
    let longer = [&inner[..], &[0]].concat();
    assert!(SigningKey::from_pem(Algorithm::RS256, &pem("RSA PRIVATE KEY", &inner)).is_ok());
    assert!(SigningKey::from_pem(Algorithm::RS256, &pem("RSA PRIVATE KEY", &longer)).is_err());
}

/// Version and algorithm as elements, and the contents of the octet string of a PKCS#8 document.
fn parts(pkcs8: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    fn split(der: &[u8]) -> (&[u8], &[u8], &[u8]) {
        let (head, length) = match der[1] {
            0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
            0x81 => (3, usize::from(der[2])),
            short => (2, usize::from(short)),
        };
        (
            &der[..head + length],
            &der[head..head + length],
            &der[head + length..],
        )
    }
    let (_, contents, _) = split(pkcs8);
    let (version, _, rest) = split(contents);
    let (identifier, _, rest) = split(rest);
    let (_, inner, _) = split(rest);
    (version.to_vec(), identifier.to_vec(), inner.to_vec())
}

fn rsa_public_key() -> Vec<u8> {
    let jwk: Value =
        serde_json::from_str(&key(Algorithm::RS256).verification_key().to_jwk().unwrap()).unwrap();
    let number = |name: &str| {
        let bytes = decode(jwk[name].as_str().unwrap());
        let zero: &[u8] = if bytes[0] >= 0x80 { &[0] } else { &[] };
        element(0x02, &[zero, &bytes].concat())
    };
    element(0x30, &[number("n"), number("e")].concat())
}

/// With these parameters of the algorithm.
fn rsa_spki(parameters: &[u8]) -> Vec<u8> {
    let id = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
    let identifier = element(0x30, &[&id[..], parameters].concat());
    let bits = element(0x03, &[&[0][..], &rsa_public_key()].concat());
    element(0x30, &[identifier, bits].concat())
}

#[test]
fn t32_other_spellings_of_the_der_of_a_key_are_refused() {
    let right = rsa_spki(&[0x05, 0]);
    assert!(VerificationKey::from_der(Algorithm::RS256, &right).is_ok());
    // A length in more bytes than it needs, and one without an end (BER).
    let padded = [&[0x30, 0x83, 0][..], &right[2..]].concat();
    let endless = [&[0x30, 0x80][..], &right[4..], &[0, 0]].concat();
    // Parameters that no RSA key has, and none.
    for wrong in [
        padded,
        endless,
        rsa_spki(&[0x05, 1, 0]),
        rsa_spki(&[0x30, 0]),
        rsa_spki(&[]),
    ] {
        assert!(VerificationKey::from_der(Algorithm::RS256, &wrong).is_err());
    }
    // For encryption (id-RSAES-OAEP).
    let mut oaep = right.clone();
    let at = oaep
        .windows(9)
        .position(|id| id == b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")
        .unwrap();
    oaep[at + 8] = 7;
    assert!(VerificationKey::from_der(Algorithm::RS256, &oaep).is_err());
}

#[test]
fn t32_an_ed25519_key_that_is_no_point_is_refused() {
    let jwk = |x: [u8; 32]| json!({"kty": "OKP", "crv": "Ed25519", "x": encode(x)}).to_string();
    let mut refused = 0;
    for y in 2..=33_u8 {
        let mut x = [0; 32];
        x[0] = y;
        let read = VerificationKey::from_jwk(&jwk(x));
        if let Err(error) = read {
            assert_eq!(error, KeyError::InvalidPoint);
            refused += 1;
        }
    }
    // By Euler's criterion, worked out by another program.
    assert_eq!(refused, NO_POINTS);
    // Spelt with y + p.
    let mut x = [0xff; 32];
    (x[0], x[31]) = (0xf0, 0x7f);
    assert!(VerificationKey::from_jwk(&jwk(x)).is_err());
    let spki = [&der(ED25519_PUBLIC)[..12], &[2], &[0; 31]].concat();
    let read = VerificationKey::from_der(Algorithm::EdDSA, &spki);
    assert_eq!(read.err(), Some(KeyError::InvalidPoint));
}

#[test]
fn t32_a_jwk_says_each_of_its_uses_once_and_its_own_certificate() {
    let right = json!({
        "kty": "EC", "crv": "P-256",
        "x": "3U0ttoZqK5PCmBmwWA87seksGcOrPDDeVSqLenCG_1I",
        "y": "n6dDAPxXmHVjHGADu72BgHygDBYKeQG-z_yZONFa8-c",
    });
    let with = |name: &str, value: Value| {
        let mut jwk = right.clone();
        jwk[name] = value;
        VerificationKey::from_jwk(&jwk.to_string())
    };
    assert!(with("key_ops", json!(["verify", "sign"])).is_ok());
    for ops in [
        json!(["verify", "verify"]),
        json!(["sign", "verify", "sign"]),
    ] {
        assert!(with("key_ops", ops.clone()).is_err(), "{ops}");
    }
    assert!(with("x5c", json!([P256_CERTIFICATE])).is_ok());
    // Unreadable ones are passed over: nothing is taken from them.
    for chain in [
        json!([]),
        json!("no array"),
        json!(["AAAA"]),
        json!(["not base64"]),
        Value::Null,
    ] {
        assert!(with("x5c", chain.clone()).is_ok(), "{chain}");
    }
    let mut other: Value =
        serde_json::from_str(&key(Algorithm::ES256).verification_key().to_jwk().unwrap()).unwrap();
    other["x5c"] = json!([P256_CERTIFICATE]);
    assert!(VerificationKey::from_jwk(&other.to_string()).is_err());
    let mut other: Value =
        serde_json::from_str(&key(Algorithm::RS256).verification_key().to_jwk().unwrap()).unwrap();
    other["x5c"] = json!([P256_CERTIFICATE]);
    assert!(VerificationKey::from_jwk(&other.to_string()).is_err());
}

#[test]
fn t32_a_key_takes_no_id_that_its_own_verifier_refuses() {
    for (id, is_id) in [
        ("k".repeat(1024), true),
        ("\"".repeat(900), true),
        ("k".repeat(1025), false),
        ("\"".repeat(1024), false),
        ("\u{1}".repeat(400), false),
        ("\n".repeat(1024), false),
        (String::new(), false),
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::EdDSA] {
            let signing = key(algorithm).clone().with_id(id.as_str());
            assert_eq!(signing.is_ok(), is_id, "{} {algorithm}", id.len());
            let verifying = key(algorithm).verification_key().with_id(id.as_str());
            assert_eq!(verifying.is_ok(), is_id, "{} {algorithm}", id.len());
            if let Ok(signing) = signing {
                let token = access(&signing, &claims());
                assert!(verifier(&signing).verify(&token).is_ok(), "{}", id.len());
            }
        }
    }
}

#[test]
fn t32_no_token_is_signed_whose_header_no_verifier_reads() {
    let key = key(Algorithm::EdDSA);
    assert!(key.sign(&"t".repeat(2048), &claims()).is_err());
    assert!(key.sign(&"t".repeat(1024), &claims()).is_ok());
}

#[test]
fn keys_of_a_set_without_alg_serve_the_algorithm_that_the_caller_names() {
    let unpinned = |algorithm: Algorithm, kid: &str| {
        let key = key(algorithm).clone().with_id(kid).unwrap();
        let jwk = key.verification_key().to_jwk().unwrap();
        let mut jwk: Value = serde_json::from_str(&jwk).unwrap();
        jwk.as_object_mut().unwrap().remove("alg");
        (key, jwk)
    };
    let (pss, pss_jwk) = unpinned(Algorithm::PS256, "pss");
    let (_, ec_jwk) = unpinned(Algorithm::ES384, "ec");
    let pinned: Value =
        serde_json::from_str(&key(Algorithm::RS512).verification_key().to_jwk().unwrap()).unwrap();
    let set = json!({"keys": [pss_jwk, ec_jwk, pinned]}).to_string();

    // RS256 unless the caller says something else.
    let (keys, _) = KeySet::from_jwks(&set).unwrap();
    assert_eq!(keys.get("pss").unwrap().algorithm(), Algorithm::RS256);

    let asked = [
        Algorithm::ES256,
        Algorithm::PS256,
        Algorithm::RS256,
        Algorithm::ES384,
    ];
    let (keys, refused) = KeySet::from_jwks_for(&set, &asked).unwrap();
    // The first that takes such a key, and no second one.
    assert_eq!(keys.get("pss").unwrap().algorithm(), Algorithm::PS256);
    assert_eq!(keys.get("ec").unwrap().algorithm(), Algorithm::ES384);
    let reasons: Vec<_> = refused.iter().map(|key| (key.index, &key.reason)).collect();
    assert_eq!(reasons, [(2, &KeyError::NotListed)]);
    let verifier = Verifier::new(keys, ISSUER, AUDIENCE).with_clock(clock_at(NOW));
    assert!(verifier.verify(&access(&pss, &claims())).is_ok());

    let refused = |algorithms: &[Algorithm]| {
        let read = KeySet::from_jwks_for(&set, algorithms);
        read.map_or(3, |(_, refused)| refused.len())
    };
    assert_eq!(refused(&[Algorithm::EdDSA, Algorithm::HS256]), 3);
    assert_eq!(refused(&[]), 3);
    assert_eq!(refused(&[Algorithm::RS512]), 1);
}

/// Of the numbers 2 to 33.
const NO_POINTS: usize = 10;

// Made with `openssl genpkey -algorithm RSA-PSS`, the second pair with `rsa_pss_keygen_md:sha384`, and
// `openssl req -x509` for these tests.
const PSS_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MIIEugIBADALBgkqhkiG9w0BAQoEggSmMIIEogIBAAKCAQEAvsEaozGGF4MRMN3I
1PMJ6Z9Qof6COa5J0Kmt07gBAJ8XzWoQKipAHuMakVf79VFgbTHKLXp/2R1TAE9W
yFrfILFlKGkWMuv7F/EjOdyc0VEexkMbk7TWjUjl/jJ+fTHzd0ExCvm0gr0w9cHe
3DEtf4h421BAVRC1QfM2nv36aZL0Xm8dQDc07VapkjhHDnOUFJF+7DN6OdRjCoqj
88YSoK0pJrPKIgbcksDQbY18iZ4e1yrAwzg45WVS2Moko447X+ox1nmPpzGSq/Z0
d7XufUWiubb64Kq2QXPc7H/J0cryjdidntJjTZA85vsZx83GuSGtD3dNmRBz8TVf
K9d+QQIDAQABAoIBAAZjdiIIm68RA5BghERC2UdAMZIF/9tpzAIwWtMcoPFMm55b
jzok9Boi8I7Ystg0PGQPX/ANinPvQ0NCuk7iKKyq9g7J9/rN8jjgKXmi12d1AvBl
zoZo/Sr6LV8Q8zFRUIHjEUYVDJ0OF7JYtPgMPnr1Z8pZce4gSjxwwtGMWHNNjLpq
WCzAj/sSi0zC2Dwt7S+pHgbAjfOqSO+5/7gHLVMGCQ/GWah7zd7fmBzjS3B+q10s
VzNmM7WZgHIIlpwFEEDN6Za1z7QaANWmKc1j+72uo0U082GaLGhVZMBhTkZoTJgh
qgwWz0k9B027pvwiwMavbD6UsWXE4qs1WfZ1QIkCgYEA5ksj65Xf7jooiFhC4exs
cdXreXUuziC+tEojZokQ2LFNZfeJc2CINytAMVrmlXHOkiKTZn2up6AS95naU0UK
BdHNEDln7vLr2wkJ2iuFtSu6LNI0iiSKd1uuZ537EE9mpyU0sIK3FOrhTFOKtXQ2
e7wfpYdI7Fbe69dBWkcZtIsCgYEA1AwXwQzFtV0sFzL4NSrY6rJxulDMS2UuPD2w
eS60f5TWLO3d5InBFiZaZ9yGXMNUJAmqTrddWawT/ZPhuIUYiV20PnC9a9BnCxwO
VdIBl/YPHuMafT2xs2vSFW787/jnP8XXEa8fMGrw0F+r3pw4WYQ6oZ5p8Z/OG57I
4htXFeMCgYBge4CcFdmQlDshDGFRB91TP/18kFTAtUVQgXMdZTVyo626l5+1f+7x
tiQZyWyrldemr+ezW9qNjeoEZCftFRKi54gTUQmzOYEI7lt7VRqakaxZVOQAMFj2
sql57d0eszVdt5/Ah7Muh01GzgViCkM9Sc60ad5qbebNRgyyRvGFCwKBgEPifzRR
l3YBlxzyN14mEn3IlPo15cF5afzlLvsMxcJWbt7BZBlHNKaXrrezdNx7uBM1eO1s
bJlJqriywD+ndHx9oDehNjMu6941pC07Z0E0CBE2WYOg3aP4L7Cm8JkO0VGsT7cc
nlqM0f2Ts104HB4kY/Tb10UAiSZ0hhFE+XNLAoGAS5PdHdfjO/uOxyxEAZX675n3
h0ym2r8197Gyq7ehZdX8WdDGZzYSwDGf/Bo9JXMUJW5lcfseoCS5OZ1uzEc/7KKR
dDm66rY/5OYksCsTimpaGvOu9p6+gX5XAUEoliUyuPB8WWnqRP0PfFpXlr09BLjF
0Gm4RJB9bxt5njn0tFo=
-----END PRIVATE KEY-----
";
const PSS_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIDALBgkqhkiG9w0BAQoDggEPADCCAQoCggEBAL7BGqMxhheDETDdyNTzCemf
UKH+gjmuSdCprdO4AQCfF81qECoqQB7jGpFX+/VRYG0xyi16f9kdUwBPVsha3yCx
ZShpFjLr+xfxIzncnNFRHsZDG5O01o1I5f4yfn0x83dBMQr5tIK9MPXB3twxLX+I
eNtQQFUQtUHzNp79+mmS9F5vHUA3NO1WqZI4Rw5zlBSRfuwzejnUYwqKo/PGEqCt
KSazyiIG3JLA0G2NfImeHtcqwMM4OOVlUtjKJKOOO1/qMdZ5j6cxkqv2dHe17n1F
orm2+uCqtkFz3Ox/ydHK8o3YnZ7SY02QPOb7GcfNxrkhrQ93TZkQc/E1XyvXfkEC
AwEAAQ==
-----END PUBLIC KEY-----
";
const PSS_384_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MIIE8gIBADBBBgkqhkiG9w0BAQowNKAPMA0GCWCGSAFlAwQCAgUAoRwwGgYJKoZI
hvcNAQEIMA0GCWCGSAFlAwQCAgUAogMCATAEggSoMIIEpAIBAAKCAQEAlQte9Wzc
omXXRyxEoq6EJUXmETixte46JWCPthpr6bz12gADijR4Uj7z2f49/Js7JV33Trxz
d2kkF/ByXx0us8jd+amm19VjD1Q2qce5DfKhAkq9BhnOwRbMB2GVSbP/q28/huVO
zvrcHtLp2jjzpRmXO7eKkqkD9f1ctBB8R3zbcNOb0+JS5HvPoWT06ka+G3cVwebA
2NxUjBhWCPEEVUrVpZyg4PLFOilV9uTvE8EIHzWbM9TdfIGlH/rikat6FfMWbA9+
yQ/cAlbCnWxDUoXoFEbuRreHzYcxYcZq0MUD1U70bJoLcrvmGLi6uHM9UcAkJ+/N
ClbFl63yuKsnhQIDAQABAoIBAALKTko2x3BPNZx1Psld44bwG/pwDtxP/AIwSy3L
/lUHTtdN30MX2uB39xLlGy4kDijTrW9/AIQN3EQKIhYCQu97ip5OgltcORPJI5HX
oEZbfQ9WLLDqdvAEotKzjWWDwLz/TZeTVOpJO37kkMYKAWkH8DMea0d2HGcfSbxB
lRYLKsSzIdLF4oUmFt0KxFXJgnDvQLjHnb7OYCu0xNe9Kpywb7hDwTS2DCe7Oiqr
zaMRIpqZzUIN4cax2kMx3phIxDVT1YIHQblYDMjsY+L/6uNS79kcYW1K+EPZEF8E
Jjyi+thdBa/x8zxdzSE5UjsXCSGyFg1J0Z5mbHebPvgc4ikCgYEA0mW4yHus9W/k
lamC23w2dhCIpc4Gcm7rciy8/hhGyx/H7KjGc4Th3yIurRaJKzwbUWI4Ldz9eAiO
0+IJQ6GdCqCgIOzNC3zvq/6w/41nTqSDF7qKIr0gnWA695J4/JJ+P9+fq9UhbG5I
3l/f6uORBW56m8Z5ihiDJgHh7FHSEu0CgYEAtVle13fGpfAgFTw995UCg8x4B2A3
5o44qm+2whc6pHyic/7gVnivgMlb3HPLqRehMS+PaNBM67j8X0XPchR6WGrUlZSF
kQ/Ej9x0KNa3IlvxSS99W0xNRDh5go+ScSgqiBL+TOStzq5EkiQJCZy8Mnvs7Nsi
Onu4Wi8unX7+2/kCgYEAiucTRnC4MFWN4OzHcqYfwnSJ8oUBJp1qHbfBkjNu0X2K
3QhT9EIfaNPFYwqExqFpG6Kvmj/Sq2NjACmzmg3hgvmmnfYYLORvyupb6mttb7MW
xRynQ+X+2UeFxprR+1WvufWmEaik51QsEXvUdduFi8NzeNJgvTYPp5EImZ8vBMUC
gYAufCUaeCJcYKvopZOAxhpp7FyMD3bky2ntDku7frbSePwvXZLlt3PNQFAity/q
PRtdf0J0bIh7F+ThCwT8yhD+Xwv096gxIeiRs8G2wisZTJYR23F3mJxps0w6UlEI
XnJghPXYgfmnc/Yxu7jxVNLM4gU+RYGFmjcMLvH0/xuXCQKBgQC6SVHoGxAADtga
MDez6eCFdu+fxIwXZqM7se9OdoFPElCI4lVlWlGLHydElIeDEAsuIswvdyNcB5VD
nZVHaFavPBZ5//FduqtI5D4XQ4t/KQrpbqJwf4MbtH1pk0e6PPgjBSBAVuckYTjf
DBVhnTzhs3MdaxbSfoXCUZfHbjxP0Q==
-----END PRIVATE KEY-----
";
const PSS_384_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBVjBBBgkqhkiG9w0BAQowNKAPMA0GCWCGSAFlAwQCAgUAoRwwGgYJKoZIhvcN
AQEIMA0GCWCGSAFlAwQCAgUAogMCATADggEPADCCAQoCggEBAJULXvVs3KJl10cs
RKKuhCVF5hE4sbXuOiVgj7Yaa+m89doAA4o0eFI+89n+PfybOyVd9068c3dpJBfw
cl8dLrPI3fmpptfVYw9UNqnHuQ3yoQJKvQYZzsEWzAdhlUmz/6tvP4blTs763B7S
6do486UZlzu3ipKpA/X9XLQQfEd823DTm9PiUuR7z6Fk9OpGvht3FcHmwNjcVIwY
VgjxBFVK1aWcoODyxTopVfbk7xPBCB81mzPU3XyBpR/64pGrehXzFmwPfskP3AJW
wp1sQ1KF6BRG7ka3h82HMWHGatDFA9VO9GyaC3K75hi4urhzPVHAJCfvzQpWxZet
8rirJ4UCAwEAAQ==
-----END PUBLIC KEY-----
";
const P256_CERTIFICATE: &str = "MIIBczCCARmgAwIBAgIUb6qRgeT2BmIC2uMcdsd3UNfax2YwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEdGVzdDAeFw0yNjExMzAyMzI0MDZaFw0zNjExMjcyMzI0MDZaMA8xDTALBgNVBAMMBHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATdTS22hmork8KYGbBYDzux6SwZw6s8MN5VKot6cIb/Up+nQwD8V5h1YxxgA7u9gYB8oAwWCnkBvs/8mTjRWvPno1MwUTAdBgNVHQ4EFgQUwaQEoZww+2Dr0BmrGTJNQw0YO+MwHwYDVR0jBBgwFoAUwaQEoZww+2Dr0BmrGTJNQw0YO+MwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAk3zJCo4p1C417MJH2C8VgdG7QSx1SfB3z7wiyM4INAoCIBHPvORicSBzgG9pz0xX5l3JVWV4UJcu/QDxTvYw73xW";
const ED25519_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAQX86S2cBkodkIkNS88wTRcoZ+mwEvamnhf2A/hU15YI=
-----END PUBLIC KEY-----
";
const P256_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzK7JQqjwKm2xd/F0T6XlyKXPf8xK
x8JsXGtCzArRwX3c6ebEWuE1rF8O6awavt0h4Z0vbwsk23pCKMpDBDFOnA==
-----END PUBLIC KEY-----
";
