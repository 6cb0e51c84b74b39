//! Numbers and texts in one piece of bytes, as `struct` in Lua takes them apart: numbers are doubles,
//! texts stand behind their length in four bytes, and all is big-endian.

use crate::clock::Timestamp;

/// Bytes that are being put together.
#[derive(Debug, Default)]
pub(super) struct Packing(Vec<u8>);

impl Packing {
    /// Nothing, and room for what a session takes.
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(320))
    }

    /// Adds a byte.
    pub(super) fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    /// Adds bytes of a fixed number.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a number. What Lua cannot count exactly becomes the last that it can.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        #[expect(clippy::cast_precision_loss, reason = "exact up to MOST")]
        let double = number.min(MOST) as f64;
        self.0.extend_from_slice(&double.to_be_bytes());
        self
    }

    /// Adds an instant, in milliseconds.
    pub(super) fn instant(&mut self, instant: Timestamp) -> &mut Self {
        self.number(instant.as_millis())
    }

    /// Adds a text.
    pub(super) fn text(&mut self, text: &[u8]) -> &mut Self {
        self.text_of(&[text])
    }

    /// Adds a text that is there in parts. One longer than four bytes can say is cut short behind its
    /// length, which makes the whole unreadable.
    pub(super) fn text_of(&mut self, parts: &[&[u8]]) -> &mut Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        for part in parts {
            self.0.extend_from_slice(part);
        }
        self
    }
}

impl AsRef<[u8]> for Packing {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes that are being taken apart. Everything is `None` that is not as we write it.
#[derive(Debug)]
pub(super) struct Unpacking<'a>(&'a [u8]);

impl<'a> Unpacking<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let (double, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        let double = f64::from_be_bytes(*double);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number that is not the same afterwards is refused"
        )]
        let number = double as u64;
        #[expect(clippy::cast_precision_loss, reason = "exact up to MOST")]
        let back = number as f64;
        (number <= MOST && back.to_bits() == double.to_bits()).then_some(number)
    }

    pub(super) fn instant(&mut self) -> Option<Timestamp> {
        self.number().map(Timestamp::from_millis)
    }

    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }

    /// That nothing is left.
    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The largest number that Lua, and every number below it, holds exactly.
pub(super) const MOST: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let mut packing = Packing::new();
        packing
            .byte(7)
            .bytes(b"xyz")
            .number(0)
            .number(1_790_000_000_123);
        packing.number(u64::MAX).text(b"").text_of(&[b"a", b"\0b"]);
        let mut packed = Unpacking::new(packing.as_ref());
        assert_eq!(packed.byte(), Some(7));
        assert_eq!(packed.bytes(), Some(*b"xyz"));
        assert_eq!(packed.number(), Some(0));
        assert_eq!(packed.number(), Some(1_790_000_000_123));
        assert_eq!(packed.number(), Some(MOST));
        assert_eq!(packed.text(), Some(b"".as_slice()));
        assert_eq!(packed.end(), None);
        assert_eq!(packed.text(), Some(b"a\0b".as_slice()));
        assert_eq!(packed.end(), Some(()));
    }

    #[test]
    fn what_we_do_not_write_is_not_read() {
        for double in [-1.0, 0.5, f64::NAN, f64::INFINITY, -0.0, 1e16] {
            assert_eq!(Unpacking::new(&double.to_be_bytes()).number(), None);
        }
        assert_eq!(Unpacking::new(b"1234567").number(), None);
        assert_eq!(Unpacking::new(b"\0\0\0\x02a").text(), None);
        assert_eq!(Unpacking::new(b"").byte(), None);
    }
}
