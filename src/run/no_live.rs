//! A build without live collection: it says so.

use anyhow::{Result, bail};

use crate::cli::{AuditArgs, CollectArgs};
use crate::model::audit::Unjudged;
use crate::model::facts::Facts;
use crate::run::exit::Exit;

pub(super) fn classify(_: &AuditArgs, _: impl FnMut(Facts)) -> Result<Vec<Unjudged>> {
    bail!(
        "this build asks neither AWS nor nodes (feature `live`); pass --evidence DIR, or install the whole tool"
    )
}

pub(super) fn collect(_: &CollectArgs) -> Result<Exit> {
    bail!("this build asks neither AWS nor nodes (feature `live`); install the whole tool")
}

pub(super) fn is_many(_: &AuditArgs) -> bool {
    false
}
