//! Work that is finished although its caller no longer waits.
//!
//! A server drops the future of a request whose client hangs up. What that future has asked of a store
//! may be committed by then: a session has ended, a theft was found. The rest, the event above all, must
//! still happen, or a thief would only have to close the connection.

use std::{
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
};

use futures::{
    FutureExt as _,
    channel::mpsc,
    future::{BoxFuture, poll_fn},
    stream::{FuturesUnordered, StreamExt as _},
};

/// Runs `work` where it is awaited. Once begun, it is finished: when the future is dropped, what is left
/// goes on in the background, on the tokio runtime at hand or else on a thread of this crate.
///
/// Work that was never polled is dropped: nothing was asked.
pub(crate) fn finished<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Finished<T> {
    Finished {
        work: Some(work.boxed()),
        begun: false,
    }
}

/// The future of [`finished`].
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Finished<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    begun: bool,
}

impl<T: Send + 'static> Future for Finished<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.begun = true;
        // Taken out, so that work that panics is not polled a second time.
        let mut work = self.work.take().expect("polled after completion");
        let polled = work.poll_unpin(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finished<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take().filter(|_| self.begun) {
            tracing::debug!("a caller hung up; what it began is finished in the background");
            background(work.map(drop).boxed());
        }
    }
}

fn background(work: BoxFuture<'static, ()>) {
    use tracing::instrument::WithSubscriber as _;

    let work = work.with_current_subscriber().boxed();
    #[cfg(feature = "tokio")]
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
        return;
    }
    on_a_thread(work);
}

/// Hands work to the one thread that finishes it, started with the first.
fn on_a_thread(work: BoxFuture<'static, ()>) {
    static THREAD: OnceLock<Option<mpsc::UnboundedSender<BoxFuture<'static, ()>>>> =
        OnceLock::new();

    let sender = THREAD.get_or_init(|| {
        let (sender, receiver) = mpsc::unbounded();
        let thread = std::thread::Builder::new().name("jwt-revoke-finish".into());
        match thread.spawn(move || finish_all(receiver)) {
            Ok(_) => Some(sender),
            Err(error) => {
                tracing::error!(%error, "no thread for what callers that hung up have begun");
                None
            }
        }
    });
    let sent = sender
        .as_ref()
        .is_some_and(|sender| sender.unbounded_send(work).is_ok());
    if !sent {
        tracing::error!("what a caller that hung up has begun is not finished");
    }
}

fn finish_all(mut queue: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>) {
    let mut all = FuturesUnordered::new();
    block_on(poll_fn(|cx| {
        let closed = loop {
            match queue.poll_next_unpin(cx) {
                // The panic hook of the process reports a panic; the other work goes on.
                Poll::Ready(Some(work)) => {
                    all.push(std::panic::AssertUnwindSafe(work).catch_unwind());
                }
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        while let Poll::Ready(Some(_)) = all.poll_next_unpin(cx) {}
        match closed && all.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);

    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = std::pin::pin!(future);
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::oneshot;

    use super::*;

    /// Begins work that waits for `go`, and drops it. Returns `go`, and a receiver that completes with the work.
    fn begin(poll: bool) -> (oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (go, wait) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut work = finished(async move {
            let _ = wait.await;
            let _ = done.send(());
        });
        if poll {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(work.poll_unpin(&mut cx).is_pending());
        }
        (go, is_done)
    }

    #[test]
    fn what_was_begun_is_finished_without_a_runtime() {
        let begun: Vec<_> = (0..100).map(|_| begin(true)).collect();
        for (go, is_done) in begun {
            go.send(()).unwrap();
            block_on(is_done).expect("it is finished");
        }
    }

    #[test]
    fn work_that_panics_in_the_background_stops_no_other() {
        let (go, wait) = oneshot::channel::<()>();
        let mut work = finished(async move {
            let _ = wait.await;
            panic!("as the test wants");
        });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(work.poll_unpin(&mut cx).is_pending());
        drop(work);
        let (other, is_done) = begin(true);
        go.send(()).unwrap();
        other.send(()).unwrap();
        block_on(is_done).expect("it is finished");
    }

    #[test]
    fn what_was_not_begun_is_dropped() {
        let (_go, is_done) = begin(false);
        assert!(block_on(is_done).is_err());
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn what_was_begun_is_finished_on_the_runtime_at_hand() {
        let (done, is_done) = oneshot::channel();
        let mut work = finished(async move {
            // Needs the runtime.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            let _ = done.send(());
        });
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        is_done.await.expect("it is finished");
    }
}
