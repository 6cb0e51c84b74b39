//! Reading JSON strictly and in one pass: member names that may occur once, texts that borrow,
//! numbers that are instants.

use std::{borrow::Cow, fmt};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use crate::{clock::Timestamp, defaults};

/// A JSON string, borrowed where it has no escapes.
pub(super) struct Text<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

impl Text<'_> {
    /// Whether this can be an identifier: neither empty nor too long.
    pub(super) fn is_id(&self) -> bool {
        (1..=defaults::MAX_ID_BYTES).contains(&self.0.len())
    }
}

/// A string, or an array of strings, of bounded number: `aud` (RFC 7519 §4.1.3).
pub(super) struct Texts<'de>(pub(super) SmallVec<[Text<'de>; 2]>);

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Texts<'de>, E> {
                let mut texts = SmallVec::new();
                texts.push(Text(Cow::Borrowed(text)));
                Ok(Texts(texts))
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts<'de>, E> {
                let mut texts = SmallVec::new();
                texts.push(Text(Cow::Owned(text.to_owned())));
                Ok(Texts(texts))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts<'de>, A::Error> {
                let mut texts = SmallVec::new();
                while let Some(text) = seq.next_element()? {
                    if texts.len() == defaults::MAX_CLAIM_ELEMENTS {
                        return Err(de::Error::custom("too many elements"));
                    }
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(TextsVisitor)
    }
}

/// Seconds since the epoch, with or without a fraction (`NumericDate`, RFC 7519 §2). Neither
/// negative nor after the year 9999.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NumericDate {
    Whole(u64),
    Fractional(f64),
}

impl NumericDate {
    /// The end of 9999-12-31.
    const LATEST: u64 = 253_402_300_799;

    /// Rounded up to the second: `exp` must never be read too early.
    pub(super) fn second_after(self) -> Timestamp {
        match self {
            Self::Whole(seconds) => Timestamp::from_seconds(seconds),
            // Not negative and bounded, so the conversion is exact.
            Self::Fractional(seconds) => Timestamp::from_seconds(seconds.ceil() as u64),
        }
    }

    /// Rounded up to the millisecond.
    pub(super) fn millisecond_after(self) -> Timestamp {
        match self {
            Self::Whole(seconds) => Timestamp::from_seconds(seconds),
            Self::Fractional(seconds) => Timestamp::from_millis((seconds * 1000.0).ceil() as u64),
        }
    }

    /// Rounded down to the millisecond: what is born earlier is revoked sooner.
    pub(super) fn millisecond_before(self) -> Timestamp {
        match self {
            Self::Whole(seconds) => Timestamp::from_seconds(seconds),
            Self::Fractional(seconds) => Timestamp::from_millis((seconds * 1000.0).floor() as u64),
        }
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumericDateVisitor;

        impl Visitor<'_> for NumericDateVisitor {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970, up to the year 9999")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<NumericDate, E> {
                if seconds > NumericDate::LATEST {
                    return Err(E::custom("out of range"));
                }
                Ok(NumericDate::Whole(seconds))
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<NumericDate, E> {
                // NaN is in no range.
                if !(0.0..=NumericDate::LATEST as f64).contains(&seconds) {
                    return Err(E::custom("out of range"));
                }
                Ok(NumericDate::Fractional(seconds))
            }
        }

        // Not `deserialize_any`: with serde_json's `arbitrary_precision`, which any crate of the
        // build may turn on, that gives a map instead of a number.
        deserializer.deserialize_f64(NumericDateVisitor)
    }
}

/// Any JSON value, thrown away. Unlike `serde::de::IgnoredAny` it keeps to serde_json's limit of
/// nesting, so that what is skipped here can be read by the application.
pub(super) struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SkippedVisitor;

        impl<'de> Visitor<'de> for SkippedVisitor {
            type Value = Skipped;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Skipped, A::Error> {
                while seq.next_element::<Skipped>()?.is_some() {}
                Ok(Skipped)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Skipped, A::Error> {
                while map.next_entry::<Skipped, Skipped>()?.is_some() {}
                Ok(Skipped)
            }
        }

        deserializer.deserialize_any(SkippedVisitor)
    }
}

/// The member names of one object, each of which may occur once.
///
/// Compared as the texts they mean, so an escaped spelling (`"s\u0075b"`) is the same name. The
/// caller bounds their number: the search is linear behind a filter that most names pass at once.
#[derive(Default)]
pub(super) struct Names<'de> {
    names: SmallVec<[Cow<'de, str>; 16]>,
    filter: u64,
}

impl<'de> Names<'de> {
    /// Takes a name; `false` if it is there already.
    pub(super) fn admit(&mut self, name: Cow<'de, str>) -> bool {
        let bytes = name.as_bytes();
        let (first, last) = match bytes {
            [] => (0, 0),
            [first, .., last] => (*first, *last),
            [only] => (*only, 0),
        };
        let middle = bytes.get(bytes.len() / 2).copied().unwrap_or(0);
        let mix = u32::from(first)
            ^ (u32::from(last) << 2)
            ^ (u32::from(middle) << 1)
            ^ ((bytes.len() as u32) << 3);
        let bit = 1_u64 << (mix & 63);
        if self.filter & bit != 0 && self.names.contains(&name) {
            return false;
        }
        self.filter |= bit;
        self.names.push(name);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(json: &str) -> Option<NumericDate> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn t6_a_date_is_a_number_that_can_be_one() {
        for json in [
            "1e19",
            "10000000000000000000",
            "18446744073709551615",
            "253402300800",
            "-1",
            "-0.5",
            "\"1700000000\"",
            "null",
            "true",
            "[1]",
            "{}",
            "1e999",
        ] {
            assert_eq!(date(json), None, "{json}");
        }
        assert_eq!(date("1700000000"), Some(NumericDate::Whole(1_700_000_000)));
    }

    #[test]
    fn t6_a_fraction_of_a_second_is_rounded_to_the_safe_side() {
        let date = date("1700000000.0015").unwrap();
        assert_eq!(date.second_after(), Timestamp::from_seconds(1_700_000_001));
        assert_eq!(
            date.millisecond_after(),
            Timestamp::from_millis(1_700_000_000_002)
        );
        assert_eq!(
            date.millisecond_before(),
            Timestamp::from_millis(1_700_000_000_001)
        );
        let whole = super::NumericDate::Fractional(1.7e9);
        assert_eq!(whole.second_after(), Timestamp::from_seconds(1_700_000_000));
    }

    #[test]
    fn a_name_is_admitted_once() {
        let mut names = Names::default();
        for n in 0..200 {
            assert!(names.admit(format!("claim{n}").into()), "{n}");
        }
        for n in 0..200 {
            assert!(!names.admit(format!("claim{n}").into()), "{n}");
        }
        assert!(names.admit("".into()) && !names.admit("".into()));
        assert_eq!(names.len(), 201);
    }

    #[test]
    fn t9_deep_values_are_refused_not_followed() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = |depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(serde_json::from_str::<Skipped>(&deep(100)).is_ok());
            assert!(serde_json::from_str::<Skipped>(&deep(100_000)).is_err());
        }
    }
}
