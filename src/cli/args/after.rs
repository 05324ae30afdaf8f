//! The headings of `--help`, and the text below the options.

/// Headings of options.
pub(super) const WHAT: &str = "What to audit";
pub(super) const RECORDING: &str = "What to record";
pub(super) const SAMPLING: &str = "What to sample";
pub(super) const CHANGE: &str = "What to change";
pub(super) const PLACE: &str = "What to reach";
pub(super) const AWS: &str = "AWS";
pub(super) const NODES: &str = "Nodes";
pub(super) const NETWORK: &str = "DNS, probes and time limits";
pub(super) const JUDGING: &str = "Judging";
pub(super) const OUTPUT: &str = "Output";
/// The heading of what has no other, which comes last.
pub(super) const OPTIONS: &str = "Options";

/// The text below the options of a command.
pub(super) struct After {
    /// Paragraphs, which are wrapped to the terminal.
    pub(super) notes: &'static str,
    /// Commands that can be pasted, and comments of a shell: at most 57 columns, so that
    /// clap breaks none on a narrow terminal.
    pub(super) examples: &'static str,
    /// Lines of at most 78 columns, each with a code and its meaning.
    pub(super) codes: &'static str,
}

impl After {
    /// The text of `-h`.
    pub(super) fn short(&self) -> String {
        section("Exit codes", self.codes)
    }

    /// The text of `--help`.
    pub(super) fn long(&self) -> String {
        let sections =
            [self.notes.to_owned(), section("Examples", self.examples), section("Exit codes", self.codes)];
        sections.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
    }
}

/// A heading and the lines below it, indented; empty if there are none. What is behind an
/// empty line is a paragraph.
fn section(heading: &str, lines: &str) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let (kept, paragraph) = lines.split_once("\n\n").unwrap_or((lines, ""));
    let kept = kept.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    let text = format!("{heading}:\n{kept}");
    if paragraph.is_empty() { text } else { format!("{text}\n\n{paragraph}") }
}

/// Of the tool.
pub(super) const TOOL: After = After {
    notes: "",
    examples: "\
eks-netcheck audit --cluster myeks
eks-netcheck reach --cluster myeks --from 10.0.1.5
eks-netcheck simulate --cluster myeks --access private
eks-netcheck explain node-on-public-path",
    codes: EXIT_CODES,
};

/// The usage of `audit`: clap would write a line too long for a terminal.
pub(super) const AUDIT_USAGE: &str = "\
eks-netcheck audit [OPTIONS] --cluster <NAME>
       eks-netcheck audit [OPTIONS] --all-clusters
       eks-netcheck audit [OPTIONS] --evidence <DIR>";

/// The usage of `simulate`.
pub(super) const SIMULATE_USAGE: &str = "\
eks-netcheck simulate [OPTIONS] --cluster <NAME> --access <MODE>
       eks-netcheck simulate [OPTIONS] --cluster <NAME> --public-cidrs <CIDR>
       eks-netcheck simulate [OPTIONS] --cluster <NAME> --plan <FILE>
       eks-netcheck simulate [OPTIONS] --evidence <DIR> ...";

/// The name of the program in the usages.
pub(crate) const NAME: &str = "eks-netcheck";

/// The usages that clap does not make itself, by command.
pub(crate) const USAGES: [(&str, &str); 2] = [("audit", AUDIT_USAGE), ("simulate", SIMULATE_USAGE)];

/// Of `audit`.
pub(super) const AUDIT: After = After {
    notes: "",
    examples: "\
# a cluster, and its nodes by your own ssh
eks-netcheck audit --cluster myeks --region eu-west-1
# what AWS, DNS and the endpoint answer, without nodes
eks-netcheck audit --cluster myeks --nodes none
# nodes by kubectl, or else by Systems Manager
eks-netcheck audit --cluster myeks \\
  --nodes kubectl,ssm --timeout 2m
# every cluster of an account, in every region
eks-netcheck audit --all-clusters --region all
# in CI: a table in the log, a file for code scanning
eks-netcheck audit --cluster myeks --fail-on medium \\
  --write sarif=eks.sarif
# recorded evidence, without access to AWS
eks-netcheck audit --evidence evidence --all",
    codes: EXIT_CODES,
};

const EXIT_CODES: &str = "\
0   judged, and nothing at or above --fail-on
1   judged, and findings at or above --fail-on
2   usage or configuration: bad flag, no region, malformed evidence;
    a report that cannot be written
3   could not judge: what a rule at or above --fail-on needs was not seen
4   nothing to judge: no such cluster, or no cluster where it was queried
70  a bug in eks-netcheck: please report the line that it prints

Rules that never make a run inconclusive, and gaps that the policy accepts, are listed and do not change the exit code.";

/// Of `collect`.
pub(super) const COLLECT: After = After {
    notes: "",
    examples: "\
# record a cluster, then judge the recording
eks-netcheck collect --cluster myeks --out evidence
eks-netcheck audit --evidence evidence
# nodes by name, each at an ssh destination
eks-netcheck collect --cluster myeks --out recorded \\
  --node n1=bastion-n1 --node n2=ec2-user@192.168.2.21",
    codes: "\
0   recorded, and nothing is missing that was requested
2   usage or configuration: bad flag, no region, a directory that is not empty
3   something is missing, as listed in manifest.json: a node that could not be
    read, an answer of AWS or DNS; or the cluster could not be described
4   no such cluster",
};

/// Of `trace`.
pub(super) const TRACE: After = After {
    notes: "The command has the terminal to itself while it runs; the report follows it. Without a command, nodes are sampled until Ctrl-C.",
    examples: "\
eks-netcheck trace --cluster myeks -- \\
  kubectl exec ds/aws-node -n kube-system -it -- bash
# two nodes, once in a second, until Ctrl-C
eks-netcheck trace --cluster myeks \\
  --only n1 --only n2 --interval 1s
# connections that need longer than a second to close
eks-netcheck trace --cluster myeks --settle 30s -- \\
  kubectl logs ds/kube-proxy -n kube-system",
    codes: "\
that of the command, 128 and the number of the signal that ended it, or 126 or
   127 if it cannot be run; with --fail-on:
1  findings at or above the threshold
3  could not judge: a node was not sampled, or not until the end
without a command 0, and for errors before it runs:
2  usage or configuration
3  no node can be sampled
4  no such cluster",
};

/// Of `simulate`.
pub(super) const SIMULATE: After = After {
    notes: "Nothing is changed: AWS is asked to describe, and the steps are printed for you to run. The settings afterwards are also judged by the policy file, if eks-netcheck.toml is in this directory or one above it.",
    examples: "\
# close the public endpoint: who loses the API server?
eks-netcheck simulate --cluster myeks --access private \\
  --client ci=198.51.100.64/27 --client vpn=10.8.0.0/16
# restrict the public endpoint, by recorded evidence
eks-netcheck simulate --evidence evidence \\
  --public-cidrs 203.0.113.0/24
# what Terraform is about to change
terraform show -json plan.out |
  eks-netcheck simulate --cluster myeks --plan -",
    codes: "\
0   safe: no known client loses the API server, if the steps are taken in
    their order
1   breaks: a client loses it, or is cut off until it connects again
2   usage or configuration: bad flag, a list that EKS does not accept, no region
3   unknown: evidence is missing about a client that the change concerns
4   no such cluster",
};

/// Of `reach`.
pub(super) const REACH: After = After {
    notes: "The conditions of a connection are judged in the order in which it meets them, and the first that is not met is the answer. What was seen (an established connection, an answer to a probe) outranks what is configured. Nodes are not read, except the one of --from.",
    examples: "\
# can this machine reach it? the bastion? the VPN?
eks-netcheck reach --cluster myeks
eks-netcheck reach --cluster myeks --from 10.0.1.5
eks-netcheck reach --cluster myeks --from 10.8.0.0/16
# a recorded node
eks-netcheck reach --evidence evidence --from n1",
    codes: "\
0  it can
1  it cannot
2  usage or configuration: bad flag, no such node, no region, malformed evidence
3  it is not known: evidence is missing, as listed
4  no such cluster",
};

/// Of `diff`.
pub(super) const DIFF: After = After {
    notes: "BEFORE and AFTER are evidence directories, or the output of `ss -tnp`: of one node, or of several, each below a line `>> node NAME <<`. Either can be a pipe, and - is standard input. AWS, DNS and nodes are not queried: paths come from the evidence, so a bare file has the paths loopback, other and unattributed only.",
    examples: "\
# two evidence directories, as collect writes them
eks-netcheck diff before after
# two captures of one node
ssh n1 sudo ss -tnp > before.txt
ssh n1 sudo ss -tnp | eks-netcheck diff before.txt -",
    codes: "\
0  compared, whether or not something changed
2  usage, or a recording that cannot be read
3  no node could be compared",
};

/// Of `iam-policy`.
pub(super) const IAM_POLICY: After = After {
    notes: "",
    examples: "\
eks-netcheck iam-policy > policy.json
aws iam create-policy --policy-name eks-netcheck \\
  --policy-document file://policy.json
eks-netcheck iam-policy --nodes ssm > policy-ssm.json",
    codes: "",
};

/// Of `ssm-document`.
pub(super) const SSM_DOCUMENT: After = After {
    notes: "The document has no parameters: a user who may run it can read the sockets of nodes, and do nothing else. Create it once in each account and region. `eks-netcheck iam-policy --nodes ssm` prints the permissions to run it.",
    examples: "\
eks-netcheck ssm-document > eks-netcheck.json
aws ssm create-document --name eks-netcheck \\
  --document-type Command \\
  --content file://eks-netcheck.json",
    codes: "",
};

/// Of `rbac`.
pub(super) const RBAC: After = After {
    notes: "The options --nodes and --namespace are those of the audit. A node that the rights do not reach is a gap, or is read by the next value of its --nodes.",
    examples: "\
eks-netcheck rbac | kubectl apply -f -
# nothing in kube-system: Jobs in another namespace
eks-netcheck rbac --nodes kubectl-jobs --namespace audits
# nothing is created
eks-netcheck rbac --nodes kubectl-agent > rbac.yaml",
    codes: "",
};

/// Of `explain`.
pub(super) const EXPLAIN: After = After {
    notes: "",
    examples: "\
eks-netcheck explain
eks-netcheck explain node-on-public-path
eks-netcheck explain --format json > rules.json",
    codes: "",
};

/// Of `init`.
pub(super) const INIT: After = After {
    notes: "It asks nothing. It writes two files into the working directory, which should be the root of a repository:\n
  eks-netcheck.toml                   a policy
  .github/workflows/eks-netcheck.yml  an audit by it\n
If one of them exists, it writes neither.",
    examples: "eks-netcheck init",
    codes: "\
0  both files are written
2  one exists, or cannot be written",
};

/// Of `policy init`.
pub(super) const POLICY_INIT: After = After {
    notes: "",
    examples: "\
eks-netcheck policy init
eks-netcheck policy init - | less",
    codes: "",
};

/// Of `policy check`.
pub(super) const POLICY_CHECK: After = After {
    notes: "All errors of all files are listed, each with its line and column.",
    examples: "\
eks-netcheck policy check
# in a nightly job: what expires in the next 30 days
eks-netcheck policy check --strict --within 30",
    codes: "\
0  no error
1  with --strict: an entry has expired, or will within --within days
2  an error, or a file that cannot be read",
};

/// Of `completions`.
pub(super) const COMPLETIONS: After = After {
    notes: "For zsh, the directory has to be in fpath before compinit is called.",
    examples: "\
mkdir -p ~/.local/share/bash-completion/completions
(cd ~/.local/share/bash-completion/completions &&
  eks-netcheck completions bash > eks-netcheck)
mkdir -p ~/.zfunc
eks-netcheck completions zsh > ~/.zfunc/_eks-netcheck
mkdir -p ~/.config/fish/completions
eks-netcheck completions fish \\
  > ~/.config/fish/completions/eks-netcheck.fish",
    codes: "",
};

/// Of `man`.
pub(super) const MAN: After = After {
    notes: "",
    examples: "\
eks-netcheck man audit | man -l -
eks-netcheck man --out ~/.local/share/man/man1",
    codes: "",
};
