//! A build without live collection: it says so.

use anyhow::{Result, bail};

use crate::cli::TraceArgs;
use crate::run::exit::Exit;

pub(super) fn trace(_: &TraceArgs) -> Result<Exit> {
    bail!("this build asks neither AWS nor nodes (feature `live`); install the whole tool, or see `diff`")
}
