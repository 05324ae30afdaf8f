//! The id of a rule on the command line.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

use super::args::after::NAME;
use crate::model::nearest::nearest;
use crate::model::rule::Rule;
use crate::rules;

/// How many rules an error names.
const SHOWN_MAX: usize = 5;

/// What was typed before the name of a command, such as `kubectl eks-netcheck`.
fn program(command: &Command) -> &str {
    let typed = command.get_bin_name().and_then(|typed| typed.strip_suffix(command.get_name()));
    typed.map(str::trim_end).filter(|typed| !typed.is_empty()).unwrap_or(NAME)
}

/// Parses the id of a rule, in upper or lower case, with hyphens or underscores.
#[derive(Debug, Clone)]
pub(super) struct RuleId;

impl TypedValueParser for RuleId {
    type Value = &'static Rule;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Self::Value, Error> {
        let text = value.to_string_lossy();
        let id = text.trim().to_lowercase().replace(['_', ' '], "-");
        if let Some(rule) = rules::ALL.iter().find(|rule| rule.id == id) {
            return Ok(rule);
        }
        let mut error = Error::new(ErrorKind::InvalidValue).with_cmd(command);
        let name = arg.map_or_else(|| "RULE".to_owned(), ToString::to_string);
        error.insert(ContextKind::InvalidArg, ContextValue::String(name));
        error.insert(ContextKind::InvalidValue, ContextValue::String(text.into_owned()));
        let near = nearest(&id, rules::ALL.iter().map(|rule| rule.id), SHOWN_MAX);
        if near.is_empty() {
            let tip = format!("`{} explain` lists the rules", program(command)).into();
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        } else {
            let near = near.into_iter().map(ToOwned::to_owned).collect();
            error.insert(ContextKind::SuggestedValue, ContextValue::Strings(near));
        }
        Err(error)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(rules::ALL.iter().map(|rule| PossibleValue::new(rule.id).help(rule.summary))))
    }
}
