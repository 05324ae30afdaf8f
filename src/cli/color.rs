//! When to use colour.

use std::ffi::OsString;

use clap::ValueEnum;

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// As the environment and the destination say
    #[default]
    Auto,
    /// Also in files and pipes that standard output and standard error are redirected to
    Always,
    /// Nowhere
    Never,
}

impl Color {
    /// What arguments say that clap may refuse, whose error is coloured too. Those behind `--` are
    /// of another command.
    #[must_use]
    pub fn typed(args: &[OsString]) -> Self {
        let mut args = args.iter().map(|arg| arg.to_str().unwrap_or_default()).take_while(|arg| *arg != "--");
        let mut color = Self::Auto;
        while let Some(arg) = args.next() {
            let value = match arg.strip_prefix("--color") {
                Some("") => args.next(),
                Some(value) => value.strip_prefix('='),
                None => None,
            };
            color = value.and_then(|value| Self::from_str(value, false).ok()).unwrap_or(color);
        }
        color
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_another_command_do_not_count() {
        for (args, color) in [
            (&["audit"][..], Color::Auto),
            (&["--color", "never", "audit"], Color::Never),
            (&["audit", "--color=always"], Color::Always),
            (&["audit", "--colors=always", "--color=x"], Color::Auto),
            (&["trace", "--", "ls", "--color=always"], Color::Auto),
        ] {
            let typed: Vec<OsString> = args.iter().map(Into::into).collect();
            assert_eq!(Color::typed(&typed), color, "{args:?}");
        }
    }
}
