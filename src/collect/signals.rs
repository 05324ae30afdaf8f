//! The signals of a run, received in asynchronous code.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::signals::{Received, Response, Subscription, subscribe};

/// The signals of a run, until it is dropped.
#[derive(Debug)]
pub(super) struct Signals {
    received: UnboundedReceiver<Received>,
    _subscription: Subscription,
}

impl Signals {
    /// Subscribes to signals; `answer` returns what is done about one.
    pub(super) fn new(answer: impl Fn(Received) -> Response + Send + 'static) -> Self {
        let (sender, received) = unbounded_channel();
        let subscription = subscribe(move |signal| {
            // Fails if it is being dropped.
            let _ = sender.send(signal);
            answer(signal)
        });
        Self { received, _subscription: subscription }
    }

    /// The next signal. Cancel-safe.
    pub(super) async fn next(&mut self) -> Received {
        match self.received.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// Waits for a signal that interrupts the run, and returns its number.
pub(super) async fn interruption() -> u8 {
    Signals::new(|_| Response::Ends).next().await.number
}
