//! The commands that are running on nodes, to be cancelled if the run ends early.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use crate::collect::aws::client::Client;
use crate::collect::aws::failure::Failure;
use crate::collect::aws::ssm::Command;

/// How long an interrupted run takes to cancel commands: less than a signal allows.
const CANCELLATION: Duration = Duration::from_millis(300);
/// How much of this a request may take whose answer names a command.
const SENDING: Duration = Duration::from_millis(200);
/// The interval at which the number of such requests is read.
const POLL: Duration = Duration::from_millis(10);
/// How long the request takes at most that cancels a command which did not end in time.
const CANCEL_MAX: Duration = Duration::from_secs(5);

/// The commands that have not ended.
#[derive(Debug, Default)]
pub(super) struct Running {
    commands: Mutex<HashMap<String, Client>>,
    /// The requests whose answer will name a command.
    sending: AtomicUsize,
}

impl Running {
    fn commands(&self) -> MutexGuard<'_, HashMap<String, Client>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command. If the caller does not wait for it, it is registered nevertheless.
    pub(super) async fn send(
        self: &Arc<Self>,
        client: &Client,
        command: &Command,
        nodes: Vec<String>,
    ) -> Result<String, Failure> {
        let (running, client, command) = (Arc::clone(self), client.clone(), command.clone());
        running.sending.fetch_add(1, Ordering::SeqCst);
        let sent = tokio::spawn(async move {
            let sent = client.send_command(&command, nodes).await;
            if let Ok(id) = &sent {
                running.commands().insert(id.clone(), client);
            }
            running.sending.fetch_sub(1, Ordering::SeqCst);
            sent
        });
        sent.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// Forgets a command that ended.
    pub(super) fn ended(&self, command: &str) {
        self.commands().remove(command);
    }

    /// Cancels a command that did not end in time.
    pub(super) async fn cancel(&self, client: &Client, command: &str) {
        // It ends by itself, later.
        let _ = tokio::time::timeout(CANCEL_MAX, client.cancel_command(command)).await;
        self.ended(command);
    }

    /// Cancels all commands, as far as that is possible at once.
    pub(super) async fn cancel_all(&self) {
        let began = Instant::now();
        while self.sending.load(Ordering::SeqCst) > 0 && began.elapsed() < SENDING {
            sleep(POLL).await;
        }
        let commands = std::mem::take(&mut *self.commands());
        let cancelled = commands.iter().map(|(id, client)| client.cancel_command(id));
        // What is not cancelled reads, and ends by itself.
        let _ = timeout_at(began + CANCELLATION, join_all(cancelled)).await;
    }
}
