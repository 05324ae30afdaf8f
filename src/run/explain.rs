//! `explain`: one rule, or the list of rules.

use anyhow::{Result, anyhow};

use super::exit::{Ending, Exit};
use super::output::to_stdout;
use crate::report::explain::{write_list, write_rule};
use crate::rules;

/// Explains the rule with this id, or lists all rules.
pub(super) fn explain(id: Option<&str>) -> Result<Ending> {
    match id {
        None => to_stdout(|out, style| write_list(&rules::ALL, style, out))?,
        Some(id) => {
            let rule = rules::ALL
                .iter()
                .find(|rule| rule.id == id)
                .ok_or_else(|| anyhow!("no rule named {id:?}; `eks-netcheck explain` lists the rules"))?;
            to_stdout(|out, style| write_rule(rule, style, out))?;
        }
    }
    Ok(Exit::Pass.into())
}
