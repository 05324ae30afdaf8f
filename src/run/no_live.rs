//! A build without live collection: it says so.

use anyhow::{Result, bail};

use crate::cli::{AuditArgs, CollectArgs};
use crate::exit::Exit;
use crate::model::facts::Facts;

pub(super) fn classify(_: &AuditArgs) -> Result<Facts> {
    bail!(
        "this build asks neither AWS nor nodes (feature `live`); pass --evidence DIR, or install the whole tool"
    )
}

pub(super) fn collect(_: &CollectArgs) -> Result<Exit> {
    bail!("this build asks neither AWS nor nodes (feature `live`); install the whole tool")
}
