//! A bound on the frames of a WebSocket, from what they announce.

use actix_web::{error::PayloadError, web::Bytes};
use futures::{Stream, StreamExt as _};

/// Passes the bytes of a client on, until a frame announces more than `most` bytes. `actix-ws` would
/// first receive all of it, and keep it.
pub(crate) fn bounded<S>(
    bytes: S,
    most: u64,
) -> impl Stream<Item = Result<Bytes, PayloadError>> + 'static
where
    S: Stream<Item = Result<Bytes, PayloadError>> + 'static,
{
    let mut frames = Frames::default();
    bytes.map(move |bytes| {
        let bytes = bytes?;
        match frames.read(&bytes, most) {
            Ok(()) => Ok(bytes),
            Err(TooLong) => Err(PayloadError::Overflow),
        }
    })
}

/// Where in a sequence of frames (RFC 6455 §5.2) the bytes are.
#[derive(Default)]
struct Frames {
    /// The head of the next frame, as far as it has arrived, without the mask.
    head: [u8; 10],
    head_bytes: usize,
    /// What is left of the frame: mask and payload.
    rest: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct TooLong;

impl Frames {
    fn read(&mut self, mut bytes: &[u8], most: u64) -> Result<(), TooLong> {
        while let Some((first, others)) = bytes.split_first() {
            if self.rest > 0 {
                let passed = self.rest.min(bytes.len() as u64);
                self.rest -= passed;
                bytes = &bytes[passed as usize..];
                continue;
            }
            self.head[self.head_bytes] = *first;
            self.head_bytes += 1;
            bytes = others;
            if let Some(length) = self.length() {
                if length > most {
                    return Err(TooLong);
                }
                let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
                self.rest = length + mask;
                self.head_bytes = 0;
            }
        }
        Ok(())
    }

    /// The length of the payload, once the head is there.
    fn length(&self) -> Option<u64> {
        let head = &self.head[..self.head_bytes];
        let (_, short) = (head.first()?, head.get(1)? & 0x7f);
        match short {
            126 => Some(u16::from_be_bytes(head.get(2..4)?.try_into().ok()?).into()),
            127 => Some(u64::from_be_bytes(head.get(2..10)?.try_into().ok()?)),
            short => Some(short.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: u64, masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match length {
            0..=125 => bytes.push(mask | length as u8),
            126..=0xffff => {
                bytes.push(mask | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        bytes.resize(bytes.len() + if masked { 4 } else { 0 } + payload, 0xff);
        bytes
    }

    #[test]
    fn frames_of_bounded_length_pass_however_they_are_cut() {
        let mut stream = Vec::new();
        for length in [0, 1, 125, 126, 1_000, 0xffff, 0x1_0000] {
            for masked in [true, false] {
                stream.extend(frame(length, masked, length as usize));
            }
        }
        for cut in [1, 2, 3, 7, 100, 4_096, stream.len()] {
            let mut frames = Frames::default();
            for chunk in stream.chunks(cut) {
                assert_eq!(frames.read(chunk, 0x1_0000), Ok(()));
            }
            assert_eq!((frames.rest, frames.head_bytes), (0, 0));
        }
    }

    #[test]
    fn t46_a_frame_that_announces_more_is_refused_before_it_arrives() {
        for length in [0x1_0001, 1 << 40, u64::MAX] {
            let mut stream = frame(10, true, 10);
            stream.extend(frame(length, true, 0));
            for cut in [1, 3, stream.len()] {
                let mut frames = Frames::default();
                let mut chunks = stream.chunks(cut);
                assert!(chunks.any(|chunk| frames.read(chunk, 0x1_0000) == Err(TooLong)));
            }
        }
    }
}
