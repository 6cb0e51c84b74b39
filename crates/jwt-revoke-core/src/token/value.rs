//! A value of a claim that is a revocation dimension, and the one form in which it is hashed.

use std::{fmt, str::FromStr};

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::{SmallVec, smallvec};

use crate::defaults;

/// One value of a claim that the application made a revocation dimension. Texts and numbers
/// differ: the tenant `"7"` is not the tenant `7`.
///
/// ```
/// use jwt_revoke_core::token::{ClaimValue, Decimal};
///
/// // A number is its exact value, however it is spelt.
/// assert_eq!(ClaimValue::from(700), ClaimValue::Number("7.0e2".parse()?));
/// assert_ne!(ClaimValue::from(7), ClaimValue::from("7"));
///
/// // No type of Rust holds this one exactly: give its text.
/// let large: Decimal = "18446744073709551616000000000000000000001".parse()?;
/// let value = ClaimValue::from(large);
/// assert_eq!(value.canonical(), "n18446744073709551616000000000000000000001");
/// # Ok::<_, jwt_revoke_core::token::InvalidDecimal>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClaimValue {
    /// A JSON string.
    Text(Box<str>),
    /// A JSON number.
    Number(Decimal),
}

impl ClaimValue {
    /// The value as bytes that differ whenever two values differ: `s` and the text, or `n` and the
    /// number in decimal, without an exponent.
    pub fn canonical(&self) -> String {
        match self {
            Self::Text(text) => format!("s{text}"),
            Self::Number(number) => format!("n{number}"),
        }
    }

    /// Reads a JSON value; `None` if it is neither a text nor a number that is a [`Decimal`].
    ///
    /// A number that is neither an integer of 64 bits nor a double has lost digits in a
    /// `serde_json::Value`, unless the build turns on serde_json's `arbitrary_precision`.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::String(text) => Some(Self::Text(text.as_str().into())),
            serde_json::Value::Number(number) => number.to_string().parse().ok().map(Self::Number),
            _ => None,
        }
    }

    /// The values of a claim that is a dimension, each once; `None` if it is anything but a text, a
    /// number, or an array of at most [`MAX_CLAIM_ELEMENTS`](defaults::MAX_CLAIM_ELEMENTS) of them.
    pub(crate) fn all_of(claim: &serde_json::Value) -> Option<Vec<Self>> {
        let elements = match claim {
            serde_json::Value::Array(elements) => elements.as_slice(),
            other => std::slice::from_ref(other),
        };
        each_once(elements.iter().map(Self::from_json), elements.len())
    }

    /// The same, of a claim as it stands in the token.
    ///
    /// Read from the text itself: a `serde_json::Value` holds other numbers in a build with
    /// `arbitrary_precision`, and takes objects with serde_json's private names for something else.
    pub(crate) fn all_in(claim: &RawValue) -> Option<Vec<Self>> {
        if claim.get().starts_with('[') {
            let Elements(elements) = serde_json::from_str(claim.get()).ok()?;
            return each_once(elements.iter().map(|raw| Self::read(raw)), elements.len());
        }
        Self::read(claim).map(|value| vec![value])
    }

    fn read(raw: &RawValue) -> Option<Self> {
        let json = raw.get();
        match json.bytes().next()? {
            b'"' => serde_json::from_str(json).ok().map(Self::Text),
            b'-' | b'0'..=b'9' => json.parse().ok().map(Self::Number),
            _ => None,
        }
    }

    /// The texts by which a token with this value is found, of which a revocation names one.
    ///
    /// A number that is no integer of 64 bits is also found by the double next to it: that is all
    /// an application has that read the claim into an `f64`, and what entries say that were written
    /// before numbers were hashed by their exact value.
    pub(crate) fn findable(&self) -> SmallVec<[String; 2]> {
        let mut texts = smallvec![self.canonical()];
        if let Self::Number(number) = self
            && let Some(rounded) = number.rounded()
        {
            texts.push(Self::Number(rounded).canonical());
        }
        texts
    }

    /// Whether a token can have this value.
    pub(crate) fn is_possible(&self) -> bool {
        !matches!(self, Self::Number(number) if !number.is_finite())
    }
}

fn each_once(
    values: impl Iterator<Item = Option<ClaimValue>>,
    count: usize,
) -> Option<Vec<ClaimValue>> {
    if count > defaults::MAX_CLAIM_ELEMENTS {
        return None;
    }
    let mut each = Vec::with_capacity(count);
    for value in values {
        let value = value?;
        if !each.contains(&value) {
            each.push(value);
        }
    }
    Some(each)
}

impl From<&str> for ClaimValue {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for ClaimValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Decimal> for ClaimValue {
    fn from(number: Decimal) -> Self {
        Self::Number(number)
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => {
        $(impl From<$integer> for ClaimValue {
            fn from(number: $integer) -> Self {
                Self::Number(Decimal(number.to_string().into()))
            }
        })*
    };
}

from_integers!(i32 u32 i64 u64 i128 u128);

/// The number that the double's shortest decimal text names. No token has an infinity or a NaN:
/// revoking one is [`RevokeError::NotANumber`](crate::guard::RevokeError::NotANumber).
impl From<f64> for ClaimValue {
    fn from(number: f64) -> Self {
        Self::Number(Decimal::of_double(number))
    }
}

/// A number of JSON (RFC 8259 §6) by its exact value, which one text stands for: `100`, `1e2` and
/// `100.0` are one number, and `-0` is `0`.
///
/// Its magnitude is at most that of the largest double, and it takes at most
/// [`MAX_NUMBER_DIGITS`](defaults::MAX_NUMBER_DIGITS) digits to write without an exponent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal(Box<str>);

impl Decimal {
    /// The number without an exponent, leading or trailing zeros.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `{}` writes doubles without an exponent, with as few digits as tell them apart.
    fn of_double(number: f64) -> Self {
        let number = if number == 0.0 { 0.0 } else { number };
        Self(number.to_string().into())
    }

    fn is_finite(&self) -> bool {
        self.0.parse::<f64>().is_ok_and(f64::is_finite)
    }

    /// The double next to this number, unless it is this number, or this is an integer of 64 bits.
    fn rounded(&self) -> Option<Self> {
        if self.0.parse::<i64>().is_ok() || self.0.parse::<u64>().is_ok() {
            return None;
        }
        let rounded = Self::of_double(self.0.parse().ok()?);
        (rounded != *self).then_some(rounded)
    }
}

impl FromStr for Decimal {
    type Err = InvalidDecimal;

    /// Reads the text of a JSON number.
    fn from_str(json: &str) -> Result<Self, InvalidDecimal> {
        let number = Parts::read(json)
            .and_then(|parts| parts.written_out())
            .map(|text| Self(text.into()));
        number.filter(Self::is_finite).ok_or(InvalidDecimal(()))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The text is not a number of JSON, or one of too large a magnitude or too many digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a number: write it as in JSON, such as -12.5e3, with at most {} digits and no larger than a double",
    defaults::MAX_NUMBER_DIGITS
)]
pub struct InvalidDecimal(());

/// A number of JSON: `digits`, of which the first `point` stand before the decimal point. Neither
/// the first nor the last digit is zero.
struct Parts {
    is_negative: bool,
    digits: String,
    point: i64,
}

impl Parts {
    /// Reads `-? (0 | [1-9] [0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`.
    fn read(json: &str) -> Option<Self> {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (is_negative, rest) = match json.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, json),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                (mantissa, is_digits(unsigned).then_some(exponent)?)
            }
            None => (rest, "0"),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, is_digits(fraction).then_some(fraction)?),
            None => (mantissa, ""),
        };
        if !is_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let all = [whole, fraction].concat();
        let significant = all.trim_start_matches('0');
        let leading = all.len() - significant.len();
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self {
                is_negative: false,
                digits: "0".into(),
                point: 1,
            });
        }
        // An exponent that does not fit makes a number that does not either.
        let exponent: i64 = exponent.parse().ok()?;
        let before = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()?;
        Some(Self {
            is_negative,
            digits: digits.into(),
            point: before.checked_add(exponent)?,
        })
    }

    /// The number without an exponent; `None` if it takes too many digits.
    fn written_out(&self) -> Option<String> {
        let length = i64::try_from(self.digits.len()).ok()?;
        let limit = i64::try_from(defaults::MAX_NUMBER_DIGITS).ok()?;
        if self.point > limit || length.checked_sub(self.point)? > limit {
            return None;
        }
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        let sign = if self.is_negative { "-" } else { "" };
        Some(match usize::try_from(self.point) {
            _ if self.point >= length => {
                format!("{sign}{}{}", self.digits, zeros(self.point - length))
            }
            Ok(point @ 1..) => {
                let (whole, fraction) = self.digits.split_at(point);
                format!("{sign}{whole}.{fraction}")
            }
            _ => format!("{sign}0.{}{}", zeros(-self.point), self.digits),
        })
    }
}

/// The elements of an array, as they stand there. More than may be are not read.
struct Elements<'a>(SmallVec<[&'a RawValue; 4]>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;

        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements<'de>, A::Error> {
                let mut elements = SmallVec::new();
                while let Some(element) = seq.next_element()? {
                    if elements.len() == defaults::MAX_CLAIM_ELEMENTS {
                        return Err(A::Error::custom("too many elements"));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }

        deserializer.deserialize_seq(ElementsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Option<Vec<String>> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        let values = ClaimValue::all_in(&raw)?;
        Some(values.iter().flat_map(ClaimValue::findable).collect())
    }

    fn one(json: &str) -> Option<String> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        let values = ClaimValue::all_in(&raw)?;
        assert_eq!(values.len(), 1, "{json}");
        Some(values[0].canonical())
    }

    #[test]
    fn t31_one_number_in_several_spellings_is_one_value() {
        for (number, spellings) in [
            ("n7", &["7", "7.0", "70e-1", "0.7e1", "7e0", "7E+0"][..]),
            ("n100", &["100", "1e2", "1E2", "100.00", "0.0001e6"]),
            (
                "n0",
                &["0", "-0", "0.0", "-0.0e9", "0e999999999999999999999"],
            ),
            ("n-0.5", &["-0.5", "-5e-1", "-50e-2", "-0.05e1"]),
            (
                "n18446744073709551616",
                &["18446744073709551616", "1.8446744073709551616e19"],
            ),
            ("n1.25", &["1.25", "125e-2", "0.125e1", "1.2500"]),
        ] {
            for json in spellings {
                assert_eq!(one(json).as_deref(), Some(number), "{json}");
            }
        }
    }

    /// What stores hold must be found again.
    #[test]
    fn t31_digests_of_numbers_are_what_they_were() {
        for (json, text) in [
            ("9223372036854775807", "n9223372036854775807"),
            ("-9223372036854775808", "n-9223372036854775808"),
            ("18446744073709551615", "n18446744073709551615"),
            ("0.1", "n0.1"),
            ("5e-7", "n0.0000005"),
            ("18446744073709551616", "n18446744073709552000"),
            ("0.1000000000000000055511151231257827", "n0.1"),
            ("1e22", "n10000000000000000000000"),
            ("1.7976931348623157e308", &format!("n{}", f64::MAX)),
            ("5e-324", &format!("n{}", f64::from_bits(1))),
        ] {
            assert!(texts(json).unwrap().contains(&text.to_owned()), "{json}");
        }
    }

    #[test]
    fn t31_integers_of_64_bits_are_found_by_themselves_alone() {
        // The double next to them is another account's.
        for json in [
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551615",
        ] {
            assert_eq!(texts(json), Some(vec![format!("n{json}")]));
        }
        assert_eq!(texts("9007199254740993.0").unwrap(), ["n9007199254740993"]);
    }

    #[test]
    fn t31_a_number_is_found_by_what_each_type_makes_of_it() {
        let found =
            |json: &str, value: ClaimValue| texts(json).unwrap().contains(&value.canonical());
        assert!(found("18446744073709551616", (1_u128 << 64).into()));
        assert!(found(
            "18446744073709551616",
            18_446_744_073_709_551_616_f64.into()
        ));
        assert!(found(
            "-9223372036854775809",
            (-9_223_372_036_854_775_809_i128).into()
        ));
        assert!(found("7", 7.into()) && found("7.0", 7.0.into()) && found("7e0", 7_u32.into()));
        assert!(found("0", (-0.0).into()));
        assert!(!found("18446744073709551616", (1_u128 << 65).into()));
        for number in [0.1, 1.0 / 3.0, 1e300, -2.5e-9, f64::MIN_POSITIVE, f64::MAX] {
            let json = serde_json::to_string(&number).unwrap();
            assert!(found(&json, number.into()), "{json}");
        }
    }

    #[test]
    fn t31_numbers_of_no_bounded_length_are_refused() {
        let long = format!("0.{}", "1".repeat(500));
        for json in [
            "1e309",
            "-1e309",
            "1e400",
            "1e401",
            "1e-401",
            "1e999999999",
            "-1e-999999999",
            "1e9223372036854775808",
            "1e99999999999999999999",
            &long,
        ] {
            assert_eq!(texts(json), None, "{json}");
        }
        assert!(texts(&"9".repeat(308)).is_some());
        assert!(texts(&"9".repeat(310)).is_none());
    }

    #[test]
    fn only_json_is_a_number() {
        for text in [
            "", "-", "+7", "007", "-01", ".5", "5.", "1e", "1e+", "e1", "0x10", "1_0", "NaN",
            "inf", " 7", "7 ", "1.e1", "--1", "1e1.5", "٧",
        ] {
            assert!(text.parse::<Decimal>().is_err(), "{text:?}");
        }
        assert!(!ClaimValue::from(f64::NAN).is_possible());
        assert!(!ClaimValue::from(f64::INFINITY).is_possible());
        assert!(ClaimValue::from(f64::MIN).is_possible());
    }

    #[test]
    fn a_text_never_equals_a_number() {
        assert_ne!(one("\"7\""), one("7"));
        assert_ne!(one("\"n7\""), one("7"));
    }

    #[test]
    fn t31_objects_with_private_names_of_serde_json_are_no_values() {
        for json in [
            "null",
            "true",
            "{}",
            "[[]]",
            "[null]",
            "[{}]",
            r#"{"$serde_json::private::RawValue":"\"acme\""}"#,
            r#"{"$serde_json::private::Number":"7"}"#,
            r#"["acme",{"$serde_json::private::RawValue":"\"acme\""}]"#,
            r#"[{"$serde_json::private::Number":"7"}]"#,
        ] {
            assert_eq!(texts(json), None, "{json}");
        }
    }

    #[test]
    fn an_array_has_each_value_once_and_no_more_than_sixteen() {
        assert_eq!(
            texts(r#"[ 7 , "7", 7.0, "\u0037" ]"#).unwrap(),
            ["n7", "s7"]
        );
        assert_eq!(texts("[]"), Some(vec![]));
        let of = |count| format!("[{}]", vec!["1"; count].join(","));
        assert!(texts(&of(16)).is_some());
        assert!(texts(&of(17)).is_none());
    }
}
