//! The commands. This module is the only one that uses all others.

mod audit;
pub mod bug;
mod cluster;
#[cfg(feature = "live")]
mod collect;
mod diff;
#[cfg(feature = "live")]
mod dry_run;
pub mod exit;
mod explain;
mod files;
mod github_actions;
mod init;
mod inputs;
pub mod judge;
#[cfg(feature = "live")]
mod live;
mod manual;
#[cfg(feature = "live")]
mod missing;
mod output;
mod policy;
mod reach;
mod rejected;
mod report;
mod search;
mod simulate;
#[cfg(feature = "live")]
mod tools;
#[cfg(feature = "live")]
mod trace;

use anyhow::Result;

use self::exit::{Ending, Exit};
use self::output::to_stdout;
use crate::cli::options::Options;
use crate::evidence::aws::iam::{iam_policy, ssm_policy};
use crate::evidence::aws::ssm::document;
use crate::evidence::rbac::roles;
use crate::report::pretty::write_pretty;
use crate::report::yaml::write_documents;

/// Runs a command.
///
/// # Errors
/// Usage, configuration, malformed evidence, and I/O.
pub fn run(options: &Options) -> Result<Ending> {
    match options {
        Options::Audit(options) => audit::audit(options),
        #[cfg(feature = "live")]
        Options::Collect(options) => collect::collect(options),
        #[cfg(feature = "live")]
        Options::Trace(options) => trace::trace(options),
        #[cfg(feature = "live")]
        Options::DryRun(options) => dry_run::dry_run(options),
        #[cfg(not(feature = "live"))]
        Options::Collect(_) | Options::Trace(_) | Options::DryRun(_) => Err(audit::not_live()),
        Options::Diff(options) => diff::diff(options),
        Options::Reach(options) => reach::reach(options),
        Options::Simulate(options) => simulate::simulate(options),
        Options::IamPolicy => {
            to_stdout(|out, _| write_pretty(&iam_policy(), out))?;
            Ok(Exit::Pass.into())
        }
        Options::SsmPolicy { document, output } => {
            to_stdout(|out, _| write_pretty(&ssm_policy(document, output.as_ref()), out))?;
            Ok(Exit::Pass.into())
        }
        Options::SsmDocument => {
            to_stdout(|out, _| write_pretty(&document(), out))?;
            Ok(Exit::Pass.into())
        }
        Options::Rbac { pods, namespace, service_account } => {
            to_stdout(|out, _| write_documents(&roles(*pods, namespace, service_account.as_ref()), out))?;
            Ok(Exit::Pass.into())
        }
        Options::Explain(options) => explain::explain(options),
        Options::Generated(text) => {
            to_stdout(|out, _| out.write_all(text))?;
            Ok(Exit::Pass.into())
        }
        Options::ManualPages { out, pages } => manual::write(out, pages),
        Options::Init => init::init(),
        Options::PolicyInit(file) => policy::init(file),
        Options::PolicyCheck(options) => policy::check(options),
    }
}
