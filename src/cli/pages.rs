//! What is generated from the arguments: completion scripts and manual pages.

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::options::Page;

/// The name of the tool.
const NAME: &str = "eks-netcheck";

/// The completion script of the tool's command for a shell.
pub(super) fn completions(mut tool: Command, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tool, NAME, &mut script);
    match shell {
        // clap_complete 4.6 writes the name of a binary with a hyphen in two ways, so that bash
        // would complete the first word only.
        Shell::Bash => {
            String::from_utf8_lossy(&script).replace("eks__subcmd__netcheck", "eks__netcheck").into_bytes()
        }
        Shell::Fish => [script, fish_positionals(&tool).into_bytes()].concat(),
        _ => script,
    }
}

/// The values of arguments that are no options, which `clap_complete` leaves out for fish: a line for
/// each command that takes one of some words, in place of files.
fn fish_positionals(tool: &Command) -> String {
    let quoted = &|text: &str| text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', " ");
    let lines = tool.get_subcommands().flat_map(|command| {
        let values = command.get_positionals().flat_map(clap::Arg::get_possible_values);
        values.filter(|value| !value.is_hide_set()).map(move |value| {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            format!(
                "complete -c {NAME} -n \"__fish_{}_using_subcommand {}\" -f -a '{}' -d '{}'\n",
                NAME.replace('-', "_"),
                command.get_name(),
                quoted(value.get_name()),
                quoted(&help)
            )
        })
    });
    lines.collect()
}

/// The manual pages of the tool's command and of each one below it, or of the one that is
/// named; none if there is no such command.
pub(super) fn manual_pages(tool: Command, of: Option<&[String]>) -> Vec<Page> {
    let mut tool = tool.disable_help_subcommand(true);
    tool.build();
    let Some(names) = of else { return all_pages(&tool) };
    let command = names.iter().try_fold(&tool, |command, name| command.find_subcommand(name));
    command.map(page).into_iter().collect()
}

fn all_pages(command: &Command) -> Vec<Page> {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(all_pages);
    [page(command)].into_iter().chain(below).collect()
}

/// The name of the page of a command, such as `eks-netcheck-audit`.
fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> Page {
    let name = page_name(command);
    let man = Man::new(command.clone());
    // The crate leaves out an empty date, so that what follows would be taken for it.
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(".TH {name} 1 \"\" \"{NAME} {version}\" \"User Commands\"\n").into_bytes();
    // A vector takes all that is written to it.
    let _ = man.render_name_section(&mut text);
    let _ = synopsis(command).to_writer(&mut text);
    let _ = man.render_description_section(&mut text);
    let _ = man.render_options_section(&mut text);
    if command.has_subcommands() {
        let _ = commands(command).to_writer(&mut text);
    }
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let _ = sections(&after.map(ToString::to_string).unwrap_or_default()).to_writer(&mut text);
    if command.get_name() != NAME {
        let _ = see_also().to_writer(&mut text);
    }
    Page { file: format!("{name}.1"), text }
}

/// The synopsis as `--help` has it. That of the crate lists every option.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().strip_prefix("Usage:").unwrap_or(&usage).trim();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for (number, line) in usage.lines().map(str::trim).enumerate() {
        if number > 0 {
            roff.control("br", []);
        }
        let path = command.get_bin_name().filter(|path| line.starts_with(path)).unwrap_or_default();
        roff.text([bold(path), roman(&line[path.len()..])]);
    }
    roff
}

/// The commands below a command, each with the name of its page.
fn commands(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        roff.control("TP", []);
        roff.text([bold(page_name(below)), roman("(1)")]);
        roff.text([roman(below.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    roff
}

/// The text that ends `--help`, as sections: a line that ends with a colon above an indented
/// one is a heading; indented lines are kept as they are, and others are filled.
fn sections(text: &str) -> Roff {
    let is_indented = |line: &str| line.starts_with("  ");
    let mut roff = Roff::new();
    let mut first = text.lines();
    let begins_with_heading =
        first.next().is_none_or(|line| line.ends_with(':')) && first.next().is_none_or(is_indented);
    if !begins_with_heading {
        roff.control("SH", ["NOTES"]);
    }
    let (mut is_kept, mut is_paragraph) = (false, false);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            is_paragraph = true;
            continue;
        }
        if is_kept && !is_indented(line) {
            roff.control("fi", []);
            is_kept = false;
        }
        let is_heading = !is_indented(line) && lines.peek().is_some_and(|next| is_indented(next));
        if let Some(heading) = line.strip_suffix(':').filter(|_| is_heading) {
            let heading = if heading == "Exit codes" { "Exit status" } else { heading };
            roff.control("SH", [heading.to_uppercase().as_str()]);
            is_paragraph = false;
            continue;
        }
        if std::mem::take(&mut is_paragraph) {
            roff.control("PP", []);
        }
        if is_indented(line) && !is_kept {
            roff.control("nf", []);
            is_kept = true;
        }
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    if is_kept {
        roff.control("fi", []);
    }
    roff
}

fn see_also() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold(NAME), roman("(1)")]);
    roff
}
