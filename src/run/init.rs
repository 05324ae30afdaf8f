//! `init`: a policy, and a workflow of GitHub Actions that audits by it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::exit::{Ending, Exit};
use super::output::to_stdout;
use super::policy::write_new;
use crate::policy::file;

/// The workflow, which docs/ci.md has too.
const WORKFLOW: &str = include_str!("workflow.yml");

/// The path of the workflow in a repository.
const WORKFLOW_PATH: &str = ".github/workflows/eks-netcheck.yml";

/// Writes both files into the working directory. Nothing is overwritten: if one of them
/// exists, none is written.
pub(super) fn init() -> Result<Ending> {
    let (policy, workflow) = (Path::new(file::NAME), Path::new(WORKFLOW_PATH));
    for path in [policy, workflow] {
        if path.symlink_metadata().is_ok() {
            bail!("{} exists already, and nothing was written; remove it first", path.display());
        }
    }
    let above = workflow.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
    if let Some(link) = above.into_iter().find(|dir| dir.is_symlink()) {
        bail!(
            "{} is a symbolic link, behind which GitHub reads no workflows, and nothing was written; \
             replace it by a directory",
            link.display()
        );
    }
    if let Some(root) = repository_above() {
        bail!(
            "the working directory is not the root of its repository, and GitHub reads workflows \
             there only; run it in {}",
            root.display()
        );
    }
    if let Some(dir) = workflow.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create the directory {}", dir.display()))?;
    }
    write_new(policy, file::EXAMPLE)?;
    if let Err(error) = write_new(workflow, WORKFLOW) {
        // Half of what was asked for would be in the way of the next try.
        let _ = fs::remove_file(policy);
        return Err(error);
    }
    to_stdout(|out, _| {
        writeln!(out, "wrote {}, the policy: what fails an audit, and until when", policy.display())?;
        writeln!(out, "wrote {}, which audits by it each day", workflow.display())?;
        writeln!(
            out,
            "\nNext, set the variables of the repository that the workflow names at its beginning."
        )?;
        writeln!(out, "To audit by the policy here: eks-netcheck audit --cluster NAME")
    })?;
    Ok(Exit::Pass.into())
}

/// The root of the repository that the working directory is a part of, if that is another
/// directory.
fn repository_above() -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    let root = here.ancestors().find(|dir| dir.join(".git").exists())?;
    (root != here).then(|| root.to_owned())
}
