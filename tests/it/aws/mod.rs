//! Live calls to AWS: the real SDK clients against servers on loopback.

mod configuration;
mod failures;
mod nodes;
mod requests;

use std::collections::BTreeSet;

use eks_netcheck_lab::aws::{Account, Api, Fault, FaultKind};
use serde_json::Value;

use crate::common::{Netcheck, story};

/// A fake AWS that serves what a story recorded.
pub(crate) struct Aws(pub(crate) Api);

impl Aws {
    pub(crate) fn of(name: &str) -> Self {
        Self(Api::serve(Account::from_evidence(&story(name)).unwrap()).unwrap())
    }

    /// `audit --nodes none`. It resolves names with this machine's name server.
    pub(crate) fn audit(&self) -> Netcheck {
        self.run("audit").args(&["--nodes", "none", "--timeout", "20"])
    }

    /// A command against this AWS, with credentials and a region from the environment. The
    /// addresses in it are not dialled: this machine's network may have some of them.
    pub(crate) fn run(&self, command: &str) -> Netcheck {
        self.probing(command).args(&["--probe", "none"])
    }

    /// The same with probes.
    pub(crate) fn probing(&self, command: &str) -> Netcheck {
        Netcheck::new([command, "--cluster", "myeks"])
            .env("AWS_ENDPOINT_URL", &self.0.url())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .env("AWS_REGION", "ap-northeast-2")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    }

    pub(crate) fn fault(&self, operation: &str, kind: FaultKind) {
        self.0.inject_fault(Fault::always(operation, kind));
    }

    /// The operations called so far, without duplicates.
    fn operations(&self) -> BTreeSet<String> {
        self.0.calls().into_iter().map(|call| call.operation).collect()
    }
}

/// The gap about a file, if there is one.
pub(crate) fn gap<'a>(report: &'a Value, what: &str) -> Option<&'a Value> {
    report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == what)
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
