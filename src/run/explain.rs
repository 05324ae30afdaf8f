//! `explain`: one rule, or the list of rules.

use anyhow::Result;

use super::exit::{Ending, Exit};
use super::output::to_stdout;
use crate::cli::options::ExplainOptions;
use crate::rules;

/// Explains a rule, or lists all rules.
pub(super) fn explain(options: &ExplainOptions) -> Result<Ending> {
    let one = options.rule.as_slice();
    let is_one = !one.is_empty();
    let rules = if is_one { one } else { &rules::ALL };
    to_stdout(|out, style| (options.format.write)(rules, is_one, style, out))?;
    Ok(Exit::Pass.into())
}
