//! The GitHub action and the CI examples of docs/ci.md: their shell steps, run as
//! the CI systems run them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use eks_netcheck_lab::aws::{Account, Api, Fault, FaultKind};
use serde_json::Value;

use crate::common::{Netcheck, root, scratch, story};
use crate::docs::code_block;
use crate::fetch::Fetch;

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// `bash` with the built binary on PATH and the endpoint of a fake AWS.
fn bash(dir: &Path, aws: &Api) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_eks-netcheck"));
    let mut command = Command::new("bash");
    command.current_dir(dir).env_clear();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binary.parent().unwrap().display());
    command.env("PATH", path).env("HOME", dir).env("AWS_ENDPOINT_URL", aws.url());
    for (key, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
        ("AWS_REGION", "ap-northeast-2"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ] {
        command.env(key, value);
    }
    command
}

/// A fake AWS that serves what a story recorded.
fn aws(name: &str) -> Api {
    Api::serve(Account::from_evidence(&story(name)).unwrap()).unwrap()
}

/// A directory with a policy that needs no DNS answers.
fn checkout() -> tempfile::TempDir {
    let dir = scratch();
    fs::copy(root().join("tests/it/fleet.toml"), dir.path().join("eks-netcheck.toml")).unwrap();
    dir
}

/// The result of a step.
struct Step {
    code: i32,
    log: String,
    outputs: String,
    summary: String,
}

/// Runs the steps of the action as a runner does, with the binary on PATH unless an input
/// says otherwise.
fn run_action(dir: &Path, aws: &Api, inputs: &[(&str, &str)]) -> Step {
    run_action_at(root(), dir, aws, &[&[("binary", "eks-netcheck")], inputs].concat())
}

/// The same for the action in a directory, with these inputs.
fn run_action_at(action_path: &Path, dir: &Path, aws: &Api, inputs: &[(&str, &str)]) -> Step {
    let action = yaml(&fs::read_to_string(root().join("action.yml")).unwrap());
    for (name, _) in inputs {
        assert!(action["inputs"][name].is_object(), "the action has no input {name}");
    }
    assert_eq!(action["runs"]["using"], "composite");
    let inputs: BTreeMap<_, _> = inputs.iter().copied().collect();
    let mut outputs = BTreeMap::new();
    let file = |name: &str| {
        let path = dir.join(name);
        fs::write(&path, "").unwrap();
        path
    };
    let summary = file("summary");
    let mut last = None;
    for step in action["runs"]["steps"].as_array().unwrap() {
        let value = |term: &str| match term.split_once('.').unwrap() {
            ("inputs", name) => inputs
                .get(name)
                .copied()
                .unwrap_or_else(|| action["inputs"][name]["default"].as_str().unwrap())
                .to_owned(),
            ("steps", output) => outputs.get(output).cloned().unwrap_or_default(),
            _ => panic!("{term}"),
        };
        // An expression is the first of its terms that is not empty.
        let evaluate = |expression: &str| {
            let terms = expression.strip_prefix("${{ ").unwrap().strip_suffix(" }}").unwrap().split(" || ");
            terms.map(value).find(|value| !value.is_empty()).unwrap_or_default()
        };
        if let Some(condition) = step["if"].as_str() {
            assert_eq!(condition, "${{ inputs.binary == '' }}");
            if !evaluate("${{ inputs.binary }}").is_empty() {
                continue;
            }
        }
        assert_eq!(step["shell"], "bash");
        // Inputs reach the script by environment variables: in its text they would be code.
        let script = step["run"].as_str().unwrap();
        assert!(!script.contains("${{"), "{script}");
        let (script_file, output_file) = (file("step.sh"), file("outputs"));
        fs::write(&script_file, script).unwrap();
        let mut command = bash(dir, aws);
        for (key, expression) in step["env"].as_object().unwrap() {
            command.env(key, evaluate(expression.as_str().unwrap()));
        }
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_ACTION_PATH", action_path).env("RUNNER_TEMP", dir);
        command.env("GITHUB_OUTPUT", &output_file).env("GITHUB_STEP_SUMMARY", &summary);
        // Nothing is downloaded from the internet.
        command.env("https_proxy", "http://127.0.0.1:1");
        let ran =
            command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(&script_file).output().unwrap();
        let written = fs::read_to_string(output_file).unwrap();
        for (name, value) in written.lines().map(|line| line.split_once('=').unwrap()) {
            outputs.insert(format!("{}.outputs.{name}", step["id"].as_str().unwrap()), value.to_owned());
        }
        let code = ran.status.code().unwrap();
        let summary = fs::read_to_string(&summary).unwrap();
        last = Some(Step { code, log: text_of(&ran), outputs: written, summary });
        if code != 0 {
            break;
        }
    }
    last.unwrap()
}

/// Standard output, then standard error.
fn text_of(output: &Output) -> String {
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}

#[test]
fn the_action_reports_its_verdict_in_exit_code_and_summary() {
    let dir = checkout();
    let step = run_action(dir.path(), &aws("private-only"), &[]);
    assert_eq!((step.code, step.outputs.as_str()), (0, "exit-code=0\n"), "{}", step.log);
    assert!(step.summary.starts_with("## eks-netcheck: ✅ pass"), "{}", step.summary);

    let step = run_action(dir.path(), &aws("study-public"), &[]);
    assert_eq!((step.code, step.outputs.as_str()), (1, "exit-code=1\n"), "{}", step.log);
    assert!(step.log.contains("\n::error file=eks-netcheck.toml,line=1,"), "{}", step.log);
    assert!(step.summary.contains("public-endpoint-open"), "{}", step.summary);

    let denied = aws("private-only");
    denied.inject_fault(Fault::always("ListClusters", FaultKind::Denied));
    let step = run_action(dir.path(), &denied, &[]);
    assert_eq!((step.code, step.outputs.as_str()), (3, "exit-code=3\n"), "{}", step.log);
}

#[test]
fn action_inputs_are_passed_as_single_arguments() {
    let dir = checkout();
    let aws = aws("study-public");
    let lines = "sarif=out.sarif\n\n  junit=out put.xml  \n";
    let inputs = [
        ("clusters", "myeks\n"),
        ("regions", "ap-northeast-2"),
        ("policy", "eks-netcheck.toml"),
        ("fail-on", "never"),
        ("write", lines),
        ("args", "--no-ci\n--anchor=infra/eks.tf"),
    ];
    let step = run_action(dir.path(), &aws, &inputs);
    assert_eq!((step.code, step.outputs.as_str()), (0, "exit-code=0\n"), "{}", step.log);
    assert_eq!(step.summary, "");
    let sarif = fs::read_to_string(dir.path().join("out.sarif")).unwrap();
    assert!(sarif.contains("infra/eks.tf"), "{sarif}");
    assert!(dir.path().join("out put.xml").is_file());
    assert!(aws.calls().iter().all(|call| call.operation != "ListClusters"));
    // Inputs are not expanded by the shell, and cannot add options.
    for name in ["$(touch oops)", "`touch oops`; touch oops", "*", "--evidence=."] {
        let step = run_action(dir.path(), &aws, &[("clusters", name), ("args", "--no-ci")]);
        // No cluster can have such a name.
        assert_eq!(step.code, 2, "{name}: {}", step.log);
        assert!(!dir.path().join("oops").exists(), "{name}");
    }
}

#[test]
fn the_action_reports_a_missing_binary() {
    let dir = checkout();
    let step = run_action(dir.path(), &aws("private-only"), &[("binary", "./no-such")]);
    assert_eq!((step.code, step.outputs.as_str()), (2, "exit-code=2\n"), "{}", step.log);
    assert!(
        step.log.starts_with(
            "::error title=eks-netcheck::./no-such not found: install eks-netcheck in an earlier step"
        ),
        "{}",
        step.log
    );
    // The input stays in the message.
    let step = run_action(dir.path(), &aws("private-only"), &[("binary", "./no%0A\r\n::add-mask::x")]);
    let line = step.log.lines().next().unwrap();
    assert!(line.starts_with("::error title=eks-netcheck::./no%250A%0D%0A::add-mask::x not found"), "{line}");
    assert_eq!(step.log.lines().count(), 1, "{}", step.log);
}

/// The action in a directory of its own, with the checksum of an archive whose binary is the
/// built one; the inputs that download it.
fn release(dir: &Path) -> Vec<(&'static str, String)> {
    let fetch =
        Fetch::with_binary(&format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_eks-netcheck")));
    fs::create_dir_all(dir.join("packaging")).unwrap();
    for file in ["fetch", "checksums.txt"] {
        fs::copy(fetch.dir().join(file), dir.join("packaging").join(file)).unwrap();
    }
    vec![("releases", fetch.serve())]
}

/// As a variable of the repository has them, which somebody pasted on Windows.
#[test]
fn the_lines_of_an_input_may_end_as_on_windows() {
    let dir = checkout();
    let inputs = [
        ("clusters", "myeks\r\n\r\n"),
        ("regions", "ap-northeast-2\r\n"),
        ("fail-on", "high\r"),
        ("nodes", "none\r\n"),
        ("args", "--color=never\r\n--quiet\r\n"),
    ];
    let step = run_action(dir.path(), &aws("private-only"), &inputs);
    assert_eq!((step.code, step.outputs.as_str()), (0, "exit-code=0\n"), "{}", step.log);
}

#[test]
fn the_action_describes_every_way_to_read_nodes() {
    let refused = Netcheck::new(["audit", "--nodes", "nonsense"]).run().stderr;
    let (_, values) = refused.split_once("[possible values: ").unwrap();
    let values: Vec<_> = values.split(']').next().unwrap().split(", ").collect();
    assert!(values.contains(&"ssh") && values.len() > 4, "{values:?}");
    let action = yaml(&fs::read_to_string(root().join("action.yml")).unwrap());
    let about = action["inputs"]["nodes"]["description"].as_str().unwrap();
    let words: Vec<_> = about.split(|char: char| !char.is_alphanumeric() && char != '-').collect();
    for value in values {
        assert!(words.contains(&value), "{value}: {about}");
    }
}

#[test]
fn the_action_downloads_the_release_and_runs_it() {
    let (dir, action) = (checkout(), scratch());
    let inputs = release(action.path());
    let inputs: Vec<_> = inputs.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let step = run_action_at(action.path(), dir.path(), &aws("private-only"), &inputs);
    assert_eq!((step.code, step.outputs.as_str()), (0, "exit-code=0\n"), "{}", step.log);
    assert!(dir.path().join("eks-netcheck/eks-netcheck").is_file());

    // Of another archive, nothing is run.
    let dir = checkout();
    let aws = aws("private-only");
    let wrong = "ab".repeat(32);
    let inputs = [&inputs[..], &[("sha256", wrong.as_str())]].concat();
    let step = run_action_at(action.path(), dir.path(), &aws, &inputs);
    assert_eq!((step.code, step.outputs.as_str()), (2, "exit-code=2\n"), "{}", step.log);
    let action = yaml(&fs::read_to_string(root().join("action.yml")).unwrap());
    assert_eq!(
        action["outputs"]["exit-code"]["value"],
        "${{ steps.fetch.outputs.exit-code || steps.audit.outputs.exit-code }}"
    );
    assert!(step.log.starts_with("::error title=eks-netcheck::"), "{}", step.log);
    assert_eq!(aws.calls().len(), 0);
    assert!(fs::read_dir(dir.path().join("eks-netcheck")).unwrap().next().is_none());
}

/// The runner has the action in `_actions/OWNER/NAME/REF`, also where it is a step of another
/// action, whose repository `github.action_repository` is then.
#[test]
fn the_action_downloads_from_its_own_repository() {
    let (dir, runner) = (checkout(), scratch());
    let url = |path: &str, inputs: &[(&str, &str)]| {
        let action = runner.path().join(path);
        release(&action);
        let step = run_action_at(&action, dir.path(), &aws("private-only"), inputs);
        assert_eq!((step.code, step.outputs.as_str()), (2, "exit-code=2\n"), "{}", step.log);
        step.log
    };
    for path in ["work/_actions/example/tool/v1.2.3", "_actions/old/_actions/example/tool/releases/v1"] {
        let log = url(path, &[]);
        let start = "::error title=eks-netcheck::https://github.com/example/tool/releases/download/v1.2.3/";
        assert!(log.starts_with(start), "{log}");
    }
    let log = url("_actions/example/other/v1", &[("repository", "example/mirror")]);
    assert!(log.contains("https://github.com/example/mirror/releases/"), "{log}");
    // As a local action (`uses: ./`), it is in the workspace.
    let log = url("work/checkout", &[]);
    assert!(log.contains("the repository \"\" is not OWNER/NAME; set the input repository"), "{log}");
}

#[test]
fn the_documented_example_of_a_release_runs_the_action() {
    let workflow = yaml(&code_block("docs/ci.md", "github of a release"));
    let steps = workflow["jobs"]["endpoints"]["steps"].as_array().unwrap();
    let is_ours = |step: &&Value| step["uses"].as_str().unwrap().starts_with("OWNER/eks-netcheck@");
    let ours = steps.iter().find(is_ours).unwrap();
    let inputs: Vec<_> = ours["with"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
        .collect();
    let (dir, action) = (checkout(), scratch());
    let release = release(action.path());
    let release: Vec<_> = release.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let step =
        run_action_at(action.path(), dir.path(), &aws("study-public"), &[&inputs[..], &release].concat());
    assert_eq!(step.code, 1, "{}", step.log);
    assert!(dir.path().join("eks-netcheck.sarif").is_file());
}

#[test]
fn the_documented_workflow_audits() {
    let workflow = yaml(&code_block("docs/ci.md", "github"));
    let steps = workflow["jobs"]["endpoints"]["steps"].as_array().unwrap();
    let audit = steps.iter().find(|step| step["name"] == "Audit all clusters").unwrap();
    for (name, code) in [("private-only", 0), ("study-public", 1)] {
        let dir = checkout();
        let aws = aws(name);
        let mut command = bash(dir.path(), &aws);
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", audit["run"].as_str().unwrap()]);
        let ran = command.output().unwrap();
        assert_eq!(ran.status.code(), Some(code), "{}", text_of(&ran));
        let upload = steps.last().unwrap();
        // A run that was refused has no report.
        assert_eq!(upload["if"], "${{ always() && hashFiles('eks-netcheck.sarif') != '' }}");
        assert!(dir.path().join(upload["with"]["sarif_file"].as_str().unwrap()).is_file());
    }
}

#[test]
fn the_documented_gitlab_job_writes_its_reports() {
    let job = &yaml(&code_block("docs/ci.md", "gitlab"))["eks-endpoints"];
    for (name, code) in [("private-only", 0), ("study-public", 1)] {
        let dir = checkout();
        // As the runner makes a checkout: every user can write to it.
        for (path, mode) in [(dir.path().to_owned(), 0o777), (dir.path().join("eks-netcheck.toml"), 0o666)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let script: Vec<_> =
            job["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let aws = aws(name);
        let mut command = bash(dir.path(), &aws);
        command.env("CI_PROJECT_DIR", dir.path());
        let ran = command.args(["-eo", "pipefail", "-c", &script.join("\n")]).output().unwrap();
        assert_eq!(ran.status.code(), Some(code), "{}", text_of(&ran));
        for report in job["artifacts"]["reports"].as_object().unwrap().values() {
            assert!(dir.path().join(report.as_str().unwrap()).is_file(), "{report}");
        }
    }
    assert_eq!(job["artifacts"]["when"], "always");
}

/// Runs the real pre-commit, which `tests/run` installs.
#[test]
fn the_documented_pre_commit_hook_checks_policies() {
    let dir = checkout();
    fs::write(dir.path().join(".pre-commit-config.yaml"), code_block("docs/ci.md", "pre-commit")).unwrap();
    let aws = aws("private-only");
    let pre_commit = root().join("target/validators/bin/pre-commit");
    let run = || {
        let script = format!("git init -q . && git add -A && {} run", pre_commit.display());
        bash(dir.path(), &aws).args(["-ec", &script]).output().unwrap()
    };
    let ran = run();
    assert!(ran.status.success() && text_of(&ran).contains("Passed"), "{}", text_of(&ran));
    fs::create_dir(dir.path().join("infra")).unwrap();
    fs::write(dir.path().join("infra/eks-netcheck.toml"), "fail-on = \"hihg\"\n").unwrap();
    let ran = run();
    assert!(
        !ran.status.success() && text_of(&ran).contains("infra/eks-netcheck.toml:1:"),
        "{}",
        text_of(&ran)
    );
}

#[test]
fn the_documented_policy_is_valid() {
    let dir = scratch();
    fs::write(dir.path().join("eks-netcheck.toml"), code_block("docs/policy.md", "policy")).unwrap();
    let ran =
        bash(dir.path(), &aws("private-only")).args(["-c", "eks-netcheck policy check"]).output().unwrap();
    assert!(ran.status.success(), "{}", text_of(&ran));
}
