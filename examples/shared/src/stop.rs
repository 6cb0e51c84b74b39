//! How a program stops: new requests are refused, those at hand are finished, within a bound.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::sleep,
};

/// Asks a program to stop, on SIGTERM or SIGINT. Cheap to clone.
///
/// The first signal starts a period in which the requests at hand are finished. The end of that
/// period, or a second signal, ends the program whatever is still open: a client that sends half a
/// request must not keep it alive.
#[derive(Clone, Debug)]
pub struct Stop {
    phase: watch::Receiver<Phase>,
    open: watch::Sender<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Finishing,
    Over,
}

impl Stop {
    /// Listens for signals on a task of its own. `drain` is how long the requests at hand may take.
    ///
    /// # Errors
    ///
    /// When the operating system lets the program listen for no signals.
    pub fn on_signals(drain: Duration) -> io::Result<Self> {
        let mut signals = Signals::listen()?;
        let (sender, phase) = watch::channel(Phase::Running);
        let (open, _) = watch::channel(0);
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!(?drain, "finishing the requests at hand");
            sender.send_replace(Phase::Finishing);
            let reason = tokio::select! {
                () = sleep(drain) => "they took longer than JWT_REVOKE_DRAIN allows",
                () = signals.next() => "a second signal arrived",
            };
            tracing::warn!("closing what is still open: {reason}");
            sender.send_replace(Phase::Over);
        });
        Ok(Self { phase, open })
    }

    /// Returns when the program is asked to stop.
    pub async fn asked(self) {
        self.reached(Phase::Finishing).await;
    }

    /// Runs a server until it ends, and until each [`Held`] is dropped, or until the time for that is
    /// over.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn bound(
        &self,
        server: impl Future<Output = io::Result<()>>,
    ) -> Result<(), io::Error> {
        let mut open = self.open.subscribe();
        let finished = async {
            server.await?;
            // The sender is in `self`.
            let _ = open.wait_for(|open| *open == 0).await;
            Ok(())
        };
        tokio::select! {
            finished = finished => finished,
            () = self.reached(Phase::Over) => Ok(()),
        }
    }

    /// Keeps the program from ending, for a connection that a server no longer knows of.
    pub fn hold(&self) -> Held {
        self.open.send_modify(|open| *open += 1);
        Held(self.open.clone())
    }

    async fn reached(&self, phase: Phase) {
        // An error is that the task which listens is gone, which ends together with the runtime.
        let _ = self.phase.clone().wait_for(|now| *now >= phase).await;
    }
}

/// Keeps the program from ending until it is dropped. See [`Stop::hold`].
#[derive(Debug)]
pub struct Held(watch::Sender<usize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
