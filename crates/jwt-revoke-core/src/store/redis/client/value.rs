//! Values: arguments of commands on their way out, answers on their way in.

use fred::{
    bytes::Bytes,
    types::{Key, Value as FredValue},
};

use crate::store::redis::reply::Reply;

/// An argument of a command.
#[derive(Clone, Debug)]
pub(in crate::store::redis) struct Value(pub(super) FredValue);

impl Value {
    /// An argument that is a part of the program.
    pub(in crate::store::redis) fn literal(text: &'static str) -> Self {
        Self(FredValue::from_static_str(text))
    }

    /// A number as an argument.
    pub(in crate::store::redis) fn number(number: i64) -> Self {
        Self(FredValue::Integer(number))
    }

    /// Arguments in one piece of memory, each up to one of `ends`.
    pub(in crate::store::redis) fn slices(
        text: &[u8],
        ends: &[usize],
    ) -> impl Iterator<Item = Self> {
        let text = Bytes::copy_from_slice(text);
        let mut start = 0;
        ends.iter().map(move |end| {
            let slice = text.slice(start..*end);
            start = *end;
            Self(FredValue::Bytes(slice))
        })
    }

    /// The text of an argument.
    #[cfg(test)]
    pub(in crate::store::redis) fn into_string(self) -> Option<String> {
        self.0.into_string()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(FredValue::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self(FredValue::from(text))
    }
}

impl From<FredValue> for Reply {
    fn from(value: FredValue) -> Self {
        match value {
            FredValue::Null => Self::Nil,
            FredValue::Integer(number) => Self::Int(number),
            FredValue::String(text) => Self::Text(text.as_bytes().to_vec()),
            FredValue::Bytes(bytes) => Self::Text(bytes.to_vec()),
            FredValue::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            // What is a list of pairs by the second version of the protocol is a map by the third.
            FredValue::Map(map) => {
                let pairs = map.inner().into_iter();
                let pair = |(key, value): (Key, FredValue)| {
                    Self::List(vec![Self::Text(key.as_bytes().to_vec()), value.into()])
                };
                Self::List(pairs.map(pair).collect())
            }
            _ => Self::Other,
        }
    }
}
