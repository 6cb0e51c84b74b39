//! The keys and arguments of a script call.

use crate::store::redis::client::Value;

/// Words in one piece of memory: a refresh has forty of them, and each would cost an allocation here
/// and another on its way to the server.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    text: Vec<u8>,
    /// Where each word ends.
    ends: Vec<usize>,
    keys: usize,
}

impl Words {
    /// No words, and room for as many as most scripts have.
    pub(super) fn new() -> Self {
        Self {
            text: Vec::with_capacity(1_024),
            ends: Vec::with_capacity(64),
            keys: 0,
        }
    }

    /// Adds a key. All keys come before the first argument.
    pub(super) fn key(&mut self, key: &str) {
        self.key_of([key.as_bytes()]);
    }

    /// The same, of a key in parts.
    pub(super) fn key_of<const N: usize>(&mut self, parts: [&[u8]; N]) {
        debug_assert_eq!(self.keys, self.ends.len(), "a key behind an argument");
        self.word_of(parts);
        self.keys += 1;
    }

    /// Adds an argument in parts.
    pub(super) fn word_of<const N: usize>(&mut self, parts: [&[u8]; N]) {
        for part in parts {
            self.text.extend_from_slice(part);
        }
        self.ends.push(self.text.len());
    }

    /// Adds an argument.
    pub(super) fn word(&mut self, word: impl AsRef<[u8]>) {
        self.word_of([word.as_ref()]);
    }

    /// Adds a number as an argument.
    pub(super) fn number(&mut self, number: u64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut rest = number;
        loop {
            start -= 1;
            // Below ten, so it fits.
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.word(&digits[start..]);
    }

    /// All words as texts.
    #[cfg(test)]
    pub(super) fn texts(&self) -> Vec<String> {
        let values = self.of_script("").into_iter().skip(2);
        values.filter_map(Value::into_string).collect()
    }

    /// What follows `EVALSHA` or `EVAL`: the script, the number of keys, and all words.
    pub(super) fn of_script(&self, script: &'static str) -> Vec<Value> {
        let count = i64::try_from(self.keys).unwrap_or(i64::MAX);
        let mut values = Vec::with_capacity(2 + self.ends.len());
        values.push(Value::literal(script));
        values.push(Value::number(count));
        values.extend(Value::slices(&self.text, &self.ends));
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_out_as_they_went_in() {
        let mut words = Words::new();
        words.key("{x}:key");
        words.key("");
        for number in [0, 9, 10, 1_790_000_000_123, u64::MAX] {
            words.number(number);
        }
        words.word(b"\r\n\0");
        let expected = [
            "sha",
            "2",
            "{x}:key",
            "",
            "0",
            "9",
            "10",
            "1790000000123",
            "18446744073709551615",
            "\r\n\0",
        ];
        let found = words
            .of_script("sha")
            .into_iter()
            .map(|word| word.into_string());
        assert_eq!(found.collect::<Option<Vec<_>>>().unwrap(), expected);
    }
}
