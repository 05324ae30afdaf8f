//! The log on standard error.

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Logs each request and its duration to standard error. Events of the AWS SDK are left
/// out: they may contain signatures and tokens.
pub fn log_to_stderr() {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let own = Targets::new().with_target("eks_netcheck", tracing::Level::DEBUG);
    // It fails only if there is a log already.
    let _ = tracing_subscriber::registry().with(layer.with_filter(own)).try_init();
}
