//! The EKS-owned network interfaces, and what others there are.

use std::collections::BTreeMap;
use std::io::{Result, Write};

use crate::model::facts::{ClassifiedInterface, Facts, InterfaceKind};
use crate::report::style::Style;
use crate::report::text::{cell, escape, lines};

/// The least width at which every value has its own column.
const WIDE: u16 = 120;

pub(super) fn write_enis(facts: &Facts, style: Style, out: &mut dyn Write) -> Result<()> {
    if facts.evidence.network.interfaces.seen().is_none() {
        return Ok(());
    }
    let owned: Vec<_> = facts.eks_owned().collect();
    writeln!(
        out,
        "\n{}",
        style.bold("EKS-owned network interfaces: how the control plane reaches the nodes")
    )?;
    if owned.is_empty() {
        writeln!(out, "none seen")?;
    } else {
        let is_wide = style.width >= WIDE;
        let heads: &[&str] = if is_wide {
            &["ENI", "Address", "Zone", "Requester", "Owner", "Instance owner"]
        } else {
            &["ENI", "Requester", "Owner", "Instance owner"]
        };
        let mut table = style.table(heads.iter().copied());
        for known in &owned {
            table.add_row(cells(known, is_wide));
        }
        style.write_table(&table, out)?;
        let why = "They are the control plane's because the account that owns the instance they are attached to \
            is not the one that owns them, no instance id is shown, and their description names this cluster exactly.";
        write!(out, "{}", style.prose(why, "", ""))?;
    }
    for known in
        facts.interfaces.iter().filter(|known| known.kind != InterfaceKind::EksOwned && !known.why.is_empty())
    {
        let text = format!("{}: {}", known.interface.id, known.why);
        write!(out, "{}", style.prose(&escape(&text), "- ", "  "))?;
    }
    let mut others: BTreeMap<InterfaceKind, usize> = BTreeMap::new();
    for known in facts.interfaces.iter().filter(|known| known.kind != InterfaceKind::EksOwned) {
        *others.entry(known.kind).or_default() += 1;
    }
    if !others.is_empty() {
        let others: Vec<_> =
            others.iter().map(|(kind, number)| format!("{number} {}", kind.as_str())).collect();
        write!(out, "{}", style.prose(&format!("Others: {}.", others.join(", ")), "", ""))?;
    }
    Ok(())
}

fn cells(known: &ClassifiedInterface, is_wide: bool) -> Vec<String> {
    let interface = &known.interface;
    let attachment = interface.attachment.as_ref();
    let instance_owner = attachment.and_then(|attachment| attachment.instance_owner.as_deref());
    let addresses: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
    let (id, addresses, zone) = (cell(&interface.id), lines(&addresses), cell(&interface.zone));
    let requester = cell(interface.requester.as_deref().unwrap_or("-"));
    let (owner, instance_owner) = (cell(&interface.owner), cell(instance_owner.unwrap_or("-")));
    if is_wide {
        vec![id, addresses, zone, requester, owner, instance_owner]
    } else {
        // The id of the role and the name of the session on a line each.
        let requester = requester.replacen(':', ":\n", 1);
        vec![format!("{id}\n{addresses}\n{zone}"), requester, owner, instance_owner]
    }
}
