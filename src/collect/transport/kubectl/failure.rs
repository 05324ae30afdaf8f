//! Why a request of kubectl failed, or a Job's pod did not run: what the messages of the API
//! server, of admission, of the scheduler and of the kubelet mean, with the next step.

use super::super::client::ClientError;
use super::super::diagnosis::{Diagnosis, excerpt};
use super::command::Failure;
use super::context::NoContext;
use super::pods::Reason;
use crate::model::cluster::Cluster;
use crate::model::gap::GapReason;

const RBAC_HINT: &str =
    "have the rights granted that `eks-netcheck rbac` prints, with --nodes and --namespace as here";
pub(super) const ADMISSION_HINT: &str = "choose a namespace that the policy exempts with --namespace, or exempt the pods with the label app.kubernetes.io/name=eks-netcheck";
const AGENT_HINT: &str = "install or update the add-on eks-node-monitoring-agent, which does not run on nodes of EKS Auto Mode and hybrid ones; or have a Job created on the node: --nodes kubectl";
const IMAGE_HINT: &str =
    "name an image that the node has or can pull, with the programs of BusyBox in it: --image";
const PRIVATE_HINT: &str =
    "check that this machine reaches the endpoint: a private one only from the VPC and connected networks";

/// A message and what it means.
struct Sign {
    messages: &'static [&'static str],
    why: GapReason,
    detail: &'static str,
    hint: &'static str,
}

/// The messages in order of precedence.
const SIGNS: [Sign; 10] = [
    Sign {
        messages: &[
            "violates PodSecurity",
            "admission webhook",
            "denied the request",
            "ValidatingAdmissionPolicy",
        ],
        why: GapReason::AccessDenied,
        detail: "an admission policy refuses the pod",
        hint: ADMISSION_HINT,
    },
    Sign {
        messages: &["exceeded quota"],
        why: GapReason::AccessDenied,
        detail: "a resource quota refuses the pod",
        hint: "choose another namespace with --namespace",
    },
    Sign {
        messages: &["Forbidden", "forbidden"],
        why: GapReason::AccessDenied,
        detail: "your identity may not do this",
        hint: RBAC_HINT,
    },
    Sign {
        messages: &[
            "Unauthorized",
            "must be logged in",
            "the server has asked for the client to provide credentials",
        ],
        why: GapReason::AccessDenied,
        detail: "the cluster does not accept your credentials",
        hint: "check with: kubectl auth whoami; an access entry of the cluster admits an IAM identity (aws eks create-access-entry)",
    },
    Sign {
        messages: &["getting credentials"],
        why: GapReason::NoCredentials,
        detail: "the program of the kubeconfig that prints credentials failed",
        hint: "check with: kubectl auth whoami; renew it with: aws eks update-kubeconfig --name NAME",
    },
    Sign {
        messages: &["error dialing backend"],
        why: GapReason::Unreachable,
        detail: "the API server does not reach the kubelet of the node",
        hint: "check that the node's security groups admit TCP 10250 from the control plane",
    },
    Sign {
        messages: &["no such host", "server misbehaving"],
        why: GapReason::NameNotResolved,
        detail: "the name of its server does not resolve on this machine",
        hint: PRIVATE_HINT,
    },
    Sign {
        messages: &["connection refused", "was refused"],
        why: GapReason::ConnectionRefused,
        detail: "its server refuses the connection",
        hint: PRIVATE_HINT,
    },
    Sign {
        messages: &[
            "i/o timeout",
            "Client.Timeout",
            "deadline exceeded",
            "handshake timeout",
            "no route to host",
        ],
        why: GapReason::TimedOut,
        detail: "its server does not answer",
        hint: PRIVATE_HINT,
    },
    Sign {
        messages: &["namespaces \"", "namespace \""],
        why: GapReason::NotFound,
        detail: "the namespace does not exist",
        hint: "choose another with --namespace",
    },
];

/// The messages of the container runtime about a program that it cannot execute. Those of
/// kubectl about files of this machine are alike.
const LACKS_PROGRAM: [&str; 2] = ["executable file not found", "no such file or directory"];

/// Why a request failed: `what` is what was requested.
pub(super) fn diagnose(failure: Failure, what: &str) -> Diagnosis {
    let (why, detail, hint) = match failure {
        Failure::Client(error @ ClientError::Start { .. }) => return Diagnosis::from(error),
        Failure::Client(error) => (GapReason::Failed, error.to_string(), "try again"),
        Failure::TimedOut(limit) => (
            GapReason::TimedOut,
            format!("{what}: kubectl did not end within {} s", limit.as_secs()),
            "pass a longer --timeout",
        ),
        Failure::TooMuchOutput => {
            (GapReason::TooMuchOutput, format!("{what}: kubectl printed too much"), "run it by hand")
        }
        Failure::Malformed(error) => (
            GapReason::Malformed,
            format!("{what}: kubectl printed something else: {error}"),
            "run it by hand",
        ),
        Failure::Failed { stderr, .. } => return of_message(what, message(&stderr)),
    };
    Diagnosis::new(why, detail, hint)
}

/// What a message of kubectl means.
pub(super) fn of_message(what: &str, message: &str) -> Diagnosis {
    let sign = SIGNS.iter().find(|sign| sign.messages.iter().any(|text| message.contains(text)));
    let Some(sign) = sign else {
        let detail = format!("{what} failed; kubectl printed {:?}", excerpt(message));
        return Diagnosis::new(GapReason::Failed, detail, "run it by hand");
    };
    let detail = format!("{what}: {}; kubectl printed {:?}", sign.detail, excerpt(message));
    Diagnosis::new(sign.why, detail, sign.hint)
}

/// What a message of `kubectl exec` means.
pub(super) fn of_exec(what: &str, message: &str) -> Diagnosis {
    if LACKS_PROGRAM.iter().any(|text| message.contains(text)) {
        let detail =
            format!("{what}: the image of the pod lacks a program; kubectl printed {:?}", excerpt(message));
        return Diagnosis::new(GapReason::NotSupported, detail, IMAGE_HINT);
    }
    of_message(what, message)
}

/// Why programs of the host do not run in the node monitoring agent's pod.
pub(super) fn of_agent(failure: Failure, pod: &str) -> Diagnosis {
    let what = format!("kubectl exec in pod {pod}");
    match &failure {
        Failure::Failed { stderr, .. } if LACKS_PROGRAM.iter().any(|text| stderr.contains(text)) => {
            let detail = format!(
                "{what}: this version of the node monitoring agent does not run programs of the node; kubectl printed {:?}",
                excerpt(message(stderr))
            );
            Diagnosis::new(GapReason::NotSupported, detail, AGENT_HINT)
        }
        _ => diagnose(failure, &what),
    }
}

/// A node without a pod of the node monitoring agent.
pub(super) fn without_agent() -> Diagnosis {
    let detail = "no pod of the EKS node monitoring agent is ready on it";
    Diagnosis::new(GapReason::NotSupported, detail, AGENT_HINT)
}

/// The last line of standard error that is no warning: the lines before it are attempts.
pub(super) fn message(stderr: &str) -> &str {
    let mut lines = stderr.lines().map(str::trim);
    let is_message = |line: &&str| !line.is_empty() && !line.starts_with("Warning:");
    lines.rfind(is_message).unwrap_or_default()
}

/// Whether all lines of standard error say that the server refused a request: it has no effect
/// then. After any other failure, it may have one.
pub(super) fn are_refusals(stderr: &str) -> bool {
    let mut lines = stderr.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("Warning:"));
    lines.all(|line| {
        let sign = SIGNS.iter().find(|sign| sign.messages.iter().any(|text| line.contains(text)));
        sign.is_some_and(|sign| matches!(sign.why, GapReason::AccessDenied | GapReason::NotFound))
    })
}

/// Why a Job's pod did not run.
pub(super) fn not_running(reason: &Reason) -> Diagnosis {
    let Reason { word, message } = reason;
    let shown = match (word.is_empty(), message.is_empty()) {
        (false, false) => format!("{word}: {}", long_excerpt(message)),
        (false, true) => word.clone(),
        (true, false) => long_excerpt(message),
        (true, true) => "no reason is given".to_owned(),
    };
    let (why, detail, hint) = match word.as_str() {
        "ImagePullBackOff" | "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName" => {
            (GapReason::Unreachable, "the node cannot pull the image of the pod", IMAGE_HINT)
        }
        "StartError" | "RunContainerError" | "ContainerCannotRun"
            if LACKS_PROGRAM.iter().any(|text| message.contains(text)) =>
        {
            (GapReason::NotSupported, "the image of the pod lacks a program", IMAGE_HINT)
        }
        "FailedCreate" => {
            let sign = SIGNS[..3].iter().find(|sign| sign.messages.iter().any(|text| message.contains(text)));
            match sign {
                Some(sign) if sign.hint != RBAC_HINT => (sign.why, sign.detail, sign.hint),
                // The Job controller has all rights: what refuses the pod is admission.
                _ => (GapReason::AccessDenied, "the pod cannot be created", ADMISSION_HINT),
            }
        }
        "Unschedulable" => (
            GapReason::Unreachable,
            "the pod cannot be scheduled on it",
            "free a place for a pod on the node, or read it another way",
        ),
        "DeadlineExceeded" => {
            (GapReason::TimedOut, "the pod was ended at its deadline", "pass a longer --timeout")
        }
        _ => (GapReason::Failed, "the pod did not run", "see why with: kubectl describe node NODE"),
    };
    Diagnosis::new(why, format!("{detail}: {shown}"), hint)
}

/// The beginning of a message, long enough for those of admission policies.
fn long_excerpt(message: &str) -> String {
    message.chars().take(500).collect()
}

/// Why no context is used. The user's own choice that is wrong is an error of usage.
pub(super) fn no_context(reason: &NoContext, named: Option<&str>, cluster: &Cluster) -> Refusal {
    let named = named.unwrap_or_default();
    let name = &cluster.name;
    let endpoint = cluster.endpoint.as_ref().map(|endpoint| endpoint.url.as_str()).unwrap_or_default();
    let update = format!("aws eks update-kubeconfig --name {name}");
    match reason {
        NoContext::OtherCluster { other } => Refusal::Usage(format!(
            "--context {named} is of the cluster {other}, not of {name} ({endpoint}); omit --context to have the right one chosen, or create it with: {update}"
        )),
        NoContext::Unknown { known } if known.is_empty() => Refusal::Usage(format!(
            "--context {named}: the kubeconfig has no contexts; create one with: {update}"
        )),
        NoContext::Unknown { known } => Refusal::Usage(format!(
            "--context {named}: the kubeconfig has no such context; it has {}",
            known.join(", ")
        )),
        NoContext::None { count } => Refusal::Gap(Diagnosis::new(
            GapReason::NotSupported,
            match count {
                0 => "the kubeconfig has no contexts".to_owned(),
                1 => "the only context of the kubeconfig is another cluster's".to_owned(),
                count => format!("none of the {count} contexts of the kubeconfig is this cluster's"),
            },
            format!("create one with: {update}"),
        )),
        NoContext::NoIdentity => Refusal::Gap(Diagnosis::new(
            GapReason::NotSupported,
            "EKS describes neither its endpoint nor its certificate authority, so that no context can be recognised as its",
            "try again when the cluster is ACTIVE",
        )),
    }
}

/// Why kubectl is not used.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The user's configuration is wrong.
    Usage(String),
    /// The nodes cannot be read by kubectl.
    Gap(Diagnosis),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::NodeName;

    fn shown(diagnosis: Diagnosis) -> (GapReason, String) {
        let name: NodeName = "n1".parse().expect("a name");
        let gap = diagnosis.gap(name);
        (gap.why, gap.cause())
    }

    #[test]
    fn messages_of_kubectl_are_recognised() {
        for (stderr, why, part) in [
            (
                "Error from server (Forbidden): nodes is forbidden: User \"u\" cannot list resource \"nodes\"",
                GapReason::AccessDenied,
                "eks-netcheck rbac",
            ),
            (
                "E1126 memcache.go:265] couldn't get current server API group list: x\nUnable to connect to the server: dial tcp: lookup abc.example: no such host",
                GapReason::NameNotResolved,
                "from the VPC",
            ),
            ("error: You must be logged in to the server (Unauthorized)", GapReason::AccessDenied, "whoami"),
            (
                "Unable to connect to the server: getting credentials: exec: executable aws failed with exit code 255",
                GapReason::NoCredentials,
                "update-kubeconfig",
            ),
            (
                "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
                GapReason::ConnectionRefused,
                "VPC",
            ),
            ("Unable to connect to the server: net/http: TLS handshake timeout", GapReason::TimedOut, "VPC"),
            ("error: something new", GapReason::Failed, "something new"),
        ] {
            let failure = Failure::Failed { stdout: Vec::new(), stderr: format!("{stderr}\nWarning: old\n") };
            let (found, text) = shown(diagnose(failure, "kubectl get nodes"));
            assert_eq!(found, why, "{stderr}");
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_missing_file_of_this_machine_is_not_a_program_of_the_image() {
        let message = "error: unable to read client-cert /home/u/c.pem for u: open /home/u/c.pem: no such file or directory";
        let (why, text) = shown(of_message("kubectl get nodes", message));
        assert_eq!(why, GapReason::Failed);
        assert!(text.contains("c.pem") && !text.contains("image"), "{text}");
        let message =
            "OCI runtime exec failed: exec failed: exec: \"sh\": executable file not found in $PATH";
        let (why, text) = shown(of_exec("kubectl exec in pod a/b", message));
        assert_eq!(why, GapReason::NotSupported);
        assert!(text.contains("BusyBox"), "{text}");
    }

    #[test]
    fn an_agent_that_runs_no_programs_of_the_node_is_named() {
        let of = |stderr: &str| {
            let failure = Failure::Failed { stdout: Vec::new(), stderr: stderr.to_owned() };
            shown(of_agent(failure, "kube-system/eks-node-monitoring-agent-x"))
        };
        let old = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/opt/bin/chroot\": stat /opt/bin/chroot: no such file or directory: unknown";
        let (why, text) = of(old);
        assert_eq!(why, GapReason::NotSupported);
        assert!(text.contains("update the add-on eks-node-monitoring-agent"), "{text}");
        let denied = "Error from server (Forbidden): pods \"x\" is forbidden: User \"u\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"kube-system\"";
        let (why, text) = of(denied);
        assert_eq!(why, GapReason::AccessDenied);
        assert!(text.contains("eks-netcheck rbac"), "{text}");
    }

    #[test]
    fn a_request_without_an_answer_is_no_refusal() {
        let denied =
            "Error from server (Forbidden): error when creating \"STDIN\": jobs.batch is forbidden: x";
        let unknown = "Error from server: error when creating \"STDIN\": etcdserver: request timed out";
        assert!(are_refusals(denied));
        assert!(are_refusals(&format!("Warning: old\n{denied}\n{denied}\n")));
        assert!(!are_refusals(&format!("{unknown}\n{denied}")));
        assert!(!are_refusals("Unable to connect to the server: EOF"));
    }

    #[test]
    fn the_reason_of_a_pod_has_a_next_step() {
        let of = |word: &str, message: &str| {
            shown(not_running(&Reason { word: word.to_owned(), message: message.to_owned() }))
        };
        let restricted = "Error creating: pods \"x\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces";
        let (why, text) = of("FailedCreate", restricted);
        assert_eq!(why, GapReason::AccessDenied);
        assert!(text.contains("violates PodSecurity") && text.contains("--namespace"), "{text}");
        assert!(of("ImagePullBackOff", "Back-off pulling image").1.contains("--image"));
        assert!(of("Unschedulable", "0/2 nodes are available").1.contains("0/2"));
        let started = "exec: \"sleep\": executable file not found in $PATH";
        assert!(of("StartError", started).1.contains("lacks a program"));
        assert!(of("", "").1.contains("no reason is given"));
    }
}
