//! All that the process logs, at every level.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    io,
    sync::{Mutex, Once},
};

use tracing_subscriber::fmt::format::FmtSpan;

static CAPTURED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Starts to capture, for all threads; once is enough.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            // Spans too, with what they were told until they ended.
            .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
            .with_writer(|| Writer)
            .init();
    });
}

/// What was logged up to now, by whichever test.
pub fn captured() -> String {
    String::from_utf8_lossy(&CAPTURED.lock().unwrap()).into_owned()
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        CAPTURED.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
