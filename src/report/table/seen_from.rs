//! What each place sees of the API server, and the paths of the cluster as drawings.

use std::io::{Result, Write};

use crate::model::facts::Facts;
use crate::report::names::Names;
use crate::report::seen_from::{HEADS, rows};
use crate::report::style::Style;
use crate::report::{architecture, text};

pub(super) fn write_seen_from(facts: &Facts, names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    let (rows, more) = rows(facts, |name| names.short(name));
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{}",
        style.bold("Seen from: where the endpoint's name resolves to what, and what is reached")
    )?;
    let mut table = style.table(HEADS);
    for row in rows {
        table.add_row(row.map(|text| text::cell(&text)));
    }
    style.write_table(&table, out)?;
    if more > 0 {
        writeln!(out, "and {more} more; the JSON report lists them")?;
    }
    Ok(())
}

pub(super) fn write_architecture(
    facts: &Facts,
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    writeln!(out, "\n{}", style.bold("Paths of this cluster: expected by its access mode, and observed"))?;
    let width = style.width.into();
    for line in architecture::lines(&facts.architecture, width, |place| names.short(place).to_owned()) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
