//! What a CI system is told without being asked: GitHub Actions shows a step
//! summary and annotations.
//!
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::cli::{AuditArgs, Format};
use crate::model::audit::Audit;
use crate::report::{github, markdown, text::escape};

/// A step of GitHub Actions.
pub(super) struct Pipeline {
    /// Where the step's summary goes.
    summary: Option<File>,
    /// Whether the report itself has no annotations.
    annotates: bool,
}

impl Pipeline {
    /// The step that this runs in, if it does.
    pub(super) fn here(args: &AuditArgs) -> Option<Self> {
        env::var("GITHUB_ACTIONS").ok().filter(|value| value == "true")?;
        let path = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from);
        let summary = path.and_then(|path| {
            let opened = OpenOptions::new().append(true).create(true).open(&path);
            opened.map_err(|error| say(&format!("cannot write to {}: {error}", path.display()))).ok()
        });
        Some(Self { summary, annotates: args.format != Format::Github })
    }

    /// Tells it. Nobody asked for it, so that it changes no exit code.
    pub(super) fn tell(self, audit: &Audit) {
        if let Some(mut file) = self.summary {
            let mut text = Vec::new();
            let written = markdown::write(audit, &mut text).and_then(|()| file.write_all(&text));
            if let Err(error) = written {
                say(&format!("cannot write the step summary: {error}"));
            }
        }
        // The runner reads commands on either stream; standard output is the
        // report's.
        if self.annotates
            && let Err(error) = github::write(audit, &mut io::stderr().lock())
        {
            say(&format!("cannot write annotations: {error}"));
        }
    }
}

fn say(what: &str) {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(anstream::stderr(), "warning: {}", escape(what));
}
