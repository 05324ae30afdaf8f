//! Systems Manager: the command document that reads a node, and the IAM policy to run it.

use serde::Serialize;

use crate::capture::filter::program;

/// The script of the document, for a POSIX shell. It has no parameters.
pub const SCRIPT: &str = concat!(include_str!("ssm_begin.sh"), program!(), include_str!("ssm_end.sh"));
/// The document of AWS that runs any script as root.
pub const RUN_SHELL_SCRIPT: &str = "AWS-RunShellScript";
/// How long the script may run on a node, in seconds.
pub const EXECUTION_TIMEOUT: &str = "60";
/// The version in the first line of the script's output.
pub const VERSION: &str = "1";

/// The action that lists the nodes with an agent.
pub const DESCRIBE_INSTANCE_INFORMATION: &str = "ssm:DescribeInstanceInformation";
/// The action that runs a command.
pub const SEND_COMMAND: &str = "ssm:SendCommand";
/// The action that lists the results of a command.
pub const LIST_COMMAND_INVOCATIONS: &str = "ssm:ListCommandInvocations";
/// The action that gets the result of a command on one node.
pub const GET_COMMAND_INVOCATION: &str = "ssm:GetCommandInvocation";
/// The action that cancels a command.
pub const CANCEL_COMMAND: &str = "ssm:CancelCommand";
/// The action that gets the output of a command from its bucket.
pub const GET_OBJECT: &str = "s3:GetObject";
/// The action without which S3 denies an object that does not exist.
pub const LIST_BUCKET: &str = "s3:ListBucket";
/// The command that prints the policy with both.
pub const SSM_OUTPUT_POLICY: &str = "eks-netcheck iam-policy --nodes ssm --ssm-output s3://BUCKET/PREFIX";

/// A command document.
///
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-schemas-features.html>
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    schema_version: &'static str,
    description: &'static str,
    main_steps: [Step; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    action: &'static str,
    name: &'static str,
    precondition: Precondition,
    inputs: Inputs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Precondition {
    string_equals: [&'static str; 2],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    timeout_seconds: &'static str,
    run_command: Vec<&'static str>,
}

/// The document, as `aws ssm create-document` accepts it.
#[must_use]
pub fn document() -> Document {
    let inputs = Inputs { timeout_seconds: EXECUTION_TIMEOUT, run_command: SCRIPT.lines().collect() };
    Document {
        schema_version: "2.2",
        description: "Prints the TCP sockets that show how an EKS node reaches its API server, for eks-netcheck. Reads only, and has no parameters.",
        main_steps: [Step {
            action: "aws:runShellScript",
            name: STEP,
            precondition: Precondition { string_equals: ["platformType", "Linux"] },
            inputs,
        }],
    }
}

/// The name of the document's step.
const STEP: &str = "eksNetcheck";

/// The path of the output of a command in its bucket, after the prefix.
#[must_use]
pub fn output_path(document: &str, command: &str, node: &str) -> String {
    let step = if document == RUN_SHELL_SCRIPT { "0.awsrunShellScript" } else { STEP };
    format!("{command}/{node}/awsrunShellScript/{step}/stdout")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two braces begin a parameter.
    #[test]
    fn the_document_has_no_parameters() {
        assert!(!SCRIPT.contains("{{") && !SCRIPT.contains("}}"));
        assert!(SCRIPT.contains(&format!("eks-netcheck begin {VERSION}\"")));
    }
}
