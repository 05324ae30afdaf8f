//! The user's OpenSSH client: its configuration, agent, keys, jump hosts and known hosts
//! apply.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Ending, Invocation};
use super::diagnosis::{CAPTURE_ELSEWHERE, Diagnosis, excerpt, last_line};
use crate::evidence::next_step::IN_A_DEBUG_POD;
use crate::model::gap::GapReason;
use crate::model::name::NodeName;
use crate::model::net::{Instance, NodeAddress};
use crate::model::shell::shell_words;
use crate::model::tools::Login;

/// The exit code of ssh itself; others are the remote command's.
const FAILED: i32 = 255;

/// How to log in as root, as a next step.
pub(super) const ROOT_HINT: &str = "log in as root with --ssh-user";

/// The environment of ssh. `BatchMode` does not apply to the client of a `ProxyJump`,
/// which would ask on the terminal; an askpass program that fails answers for the user.
const ENV: &[(&str, &str)] = &[("SSH_ASKPASS_REQUIRE", "force"), ("SSH_ASKPASS", "false")];

/// An ssh destination: a host, `user@host`, a name in the ssh configuration, or
/// `ssh://user@host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Destination(String);

/// Why a text is not a destination.
#[derive(Debug, thiserror::Error)]
#[error(
    "not an ssh destination: one has letters, digits and . _ : @ / % + , = ~ [ ] - only, and neither it nor its host begins with -"
)]
pub struct InvalidDestination;

impl FromStr for Destination {
    type Err = InvalidDestination;

    /// Accepts what can be neither an option of ssh nor, through `%h` in the user's ssh
    /// configuration, a shell metacharacter.
    fn from_str(text: &str) -> Result<Self, InvalidDestination> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@/%+,=~[]-".contains(&byte);
        let authority = text.strip_prefix("ssh://").unwrap_or(text);
        let host = authority.rsplit('@').next().unwrap_or_default();
        let is_valid = !host.is_empty()
            && text.len() <= 512
            && text.bytes().all(allowed)
            && ![text, authority, host].iter().any(|part| part.starts_with('-'));
        if is_valid { Ok(Self(text.to_owned())) } else { Err(InvalidDestination) }
    }
}

impl Destination {
    /// The host alone.
    fn host(&self) -> &str {
        let authority = self.0.strip_prefix("ssh://").unwrap_or(&self.0);
        authority.rsplit('@').next().unwrap_or_default()
    }

    /// Whether it names the user.
    fn has_user(&self) -> bool {
        self.0.contains('@')
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The configuration of ssh.
#[derive(Debug, Clone)]
pub struct Ssh {
    config: Arc<Config>,
}

#[derive(Debug)]
struct Config {
    /// The user's options, as after ssh's `-o`.
    options: Vec<String>,
    /// All options, as arguments.
    args: Vec<OsString>,
    user: Option<String>,
    address: NodeAddress,
}

impl Ssh {
    /// A configuration with the user's options, as after ssh's `-o`. They precede the
    /// options of this program: ssh uses the first value of each.
    #[must_use]
    pub fn new(user: Option<&str>, options: &[String], address: NodeAddress, timeout: Duration) -> Self {
        // Shorter than the time-out, since ssh's own message has the reason.
        let connect = (timeout.as_secs() / 2).clamp(1, 10);
        let defaults = [
            "BatchMode=yes".to_owned(),
            format!("ConnectTimeout={connect}"),
            // Without these a connection that is interrupted hangs until the time-out.
            "ServerAliveInterval=3".to_owned(),
            "ServerAliveCountMax=3".to_owned(),
            // Hides banners, but no errors.
            "LogLevel=ERROR".to_owned(),
            // What the user's configuration may set for interactive use of the host.
            "RemoteCommand=none".to_owned(),
            "RequestTTY=no".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "ForwardX11=no".to_owned(),
            "ForwardAgent=no".to_owned(),
        ];
        let all = options.iter().chain(&defaults);
        let args = all.flat_map(|option| ["-o".into(), option.into()]).collect();
        let user = user.map(ToOwned::to_owned);
        Self { config: Arc::new(Config { options: options.to_owned(), args, user, address }) }
    }

    pub(super) fn parse_target(&self, text: &str) -> Result<SshTarget, InvalidDestination> {
        Ok(SshTarget { config: Arc::clone(&self.config), destination: text.parse()? })
    }

    pub(super) fn listed_target(&self, instance: &Instance) -> Result<SshTarget, Diagnosis> {
        self.target_at(instance, self.config.address)
    }

    /// An instance that is named by its id is reached by its id: the ssh configuration
    /// then accepts ids, as for Session Manager.
    pub(super) fn named_target(
        &self,
        name: &NodeName,
        instance: Option<&Instance>,
    ) -> Result<SshTarget, Diagnosis> {
        match instance {
            Some(instance) if instance.id == name.as_str() => self.target_at(instance, NodeAddress::Id),
            Some(instance) => self.listed_target(instance),
            None => self.target_of(name.as_str()),
        }
    }

    fn target_at(&self, instance: &Instance, address: NodeAddress) -> Result<SshTarget, Diagnosis> {
        if instance.auto_mode {
            return Err(Diagnosis::new(
                GapReason::NotSupported,
                "EKS Auto Mode runs it, and its nodes do not accept ssh",
                format!("pass --nodes kubectl; or {IN_A_DEBUG_POD} and judge it with --evidence"),
            ));
        }
        let (text, word) = match address {
            NodeAddress::Private => (instance.addresses.first().map(ToString::to_string), "private address"),
            NodeAddress::Public => (instance.public_ip.map(|ip| ip.to_string()), "public address"),
            NodeAddress::Name => (instance.dns_name.clone(), "private DNS name"),
            NodeAddress::Id => (Some(instance.id.clone()), "id"),
        };
        match text {
            Some(text) => self.target_of(&text),
            None => Err(Diagnosis::new(
                GapReason::Unreachable,
                format!("EC2 lists no {word} of it"),
                "choose another with --node-address, or pass --node NAME=TARGET",
            )),
        }
    }

    fn target_of(&self, text: &str) -> Result<SshTarget, Diagnosis> {
        self.parse_target(text).map_err(|error| {
            Diagnosis::new(GapReason::Unreachable, format!("{text:?} is {error}"), "pass --node NAME=TARGET")
        })
    }
}

/// A destination with the configuration of ssh.
#[derive(Debug, Clone)]
pub struct SshTarget {
    config: Arc<Config>,
    destination: Destination,
}

impl SshTarget {
    pub(super) fn invocation(&self, script: &str) -> Invocation {
        let mut args = self.config.args.clone();
        // ssh prefers -l to the destination's user.
        if let Some(user) = self.config.user.as_ref().filter(|_| !self.destination.has_user()) {
            args.extend(["-l".into(), user.into()]);
        }
        args.extend(["--".into(), self.destination.0.clone().into()]);
        // The login shell, which need not be a POSIX shell, parses the command.
        args.push(format!("sh -c '{script}'").into());
        Invocation { program: "ssh", args, env: ENV }
    }

    /// How to log in in the same way.
    pub(super) fn login(&self) -> Login {
        let options = self.config.options.iter().flat_map(|option| ["-o".to_owned(), option.clone()]);
        let user = self.config.user.as_ref().filter(|_| !self.destination.has_user());
        let user = user.into_iter().flat_map(|user| ["-l".to_owned(), user.clone()]);
        Login { options: options.chain(user).collect(), destination: self.destination.to_string() }
    }

    /// The command to type to log in the same way.
    fn command(&self) -> String {
        let Login { options, destination } = self.login();
        format!("ssh{} {destination}", shell_words(&options))
    }

    pub(super) fn diagnose(&self, ending: &Ending) -> Option<Diagnosis> {
        if let Some((sign, line)) = sign(&ending.stderr) {
            let host = changed_host(&ending.stderr).unwrap_or(self.destination.host());
            return Some(Diagnosis::new(
                sign.why,
                format!("{}; ssh printed {:?} ({})", sign.detail, excerpt(line), self.destination),
                sign.hint.replace("HOST", host),
            ));
        }
        let has_failed = ending.status.is_some_and(|status| status.code() == Some(FAILED));
        has_failed.then(|| {
            Diagnosis::new(
                GapReason::Unreachable,
                format!("ssh failed{} ({})", last_line(ending), self.destination),
                format!("try by hand: {}", self.command()),
            )
        })
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.destination.fmt(f)
    }
}

/// Whether the server closed the connection before the key exchange, as one with too many
/// logins at a time does, and no other error was printed: of a jump host that it cannot
/// reach, ssh prints the same beside the reason.
pub(super) fn may_retry(ending: &Ending) -> bool {
    const KEY_EXCHANGE: &str = "kex_exchange_identification: ";
    let is_drop = |line: &str| {
        [KEY_EXCHANGE, "Connection closed by ", "Connection reset by "]
            .iter()
            .any(|message| line.starts_with(message))
    };
    ending.stderr.contains(KEY_EXCHANGE)
        && ending.stderr.lines().map(str::trim).filter(|line| !line.is_empty()).all(is_drop)
}

/// A message of ssh and what it means.
struct Sign {
    message: &'static str,
    why: GapReason,
    detail: &'static str,
    hint: &'static str,
}

/// The messages in order of precedence: a failure at a jump host prints several.
const SIGNS: [Sign; 14] = [
    Sign {
        message: "REMOTE HOST IDENTIFICATION HAS CHANGED",
        why: GapReason::HostKeyChanged,
        detail: "its host key differs from the one in known_hosts",
        hint: "the address may now belong to a new node, or to an attacker: verify the key, then run ssh-keygen -R HOST and log in once by hand",
    },
    Sign {
        message: "Host key verification failed",
        why: GapReason::HostKeyUnknown,
        detail: "its host key is not in known_hosts",
        hint: "log in once by hand and verify the key, or pass --ssh-option StrictHostKeyChecking=accept-new",
    },
    Sign {
        message: "Could not resolve hostname",
        why: GapReason::NameNotResolved,
        detail: "its name does not resolve on this machine",
        hint: "pass --node NAME=TARGET, or --node-address private",
    },
    Sign {
        message: "Permission denied",
        why: GapReason::LoginRefused,
        detail: "it accepted none of your keys",
        hint: "pass --ssh-user, load the key into your agent, or name it with --ssh-option IdentityFile=FILE",
    },
    Sign {
        message: "Too many authentication failures",
        why: GapReason::LoginRefused,
        detail: "it refused the login before ssh offered the right key",
        hint: "name the key with --ssh-option IdentityFile=FILE and --ssh-option IdentitiesOnly=yes",
    },
    Sign {
        message: "Connection refused",
        why: GapReason::ConnectionRefused,
        detail: "nothing listens on its ssh port, as on Bottlerocket",
        hint: CAPTURE_ELSEWHERE,
    },
    Sign {
        message: "Connection timed out",
        why: GapReason::TimedOut,
        detail: "ssh got no answer from it",
        hint: NO_ANSWER_HINT,
    },
    Sign {
        message: "Operation timed out",
        why: GapReason::TimedOut,
        detail: "ssh got no answer from it",
        hint: NO_ANSWER_HINT,
    },
    Sign {
        message: "No route to host",
        why: GapReason::Unreachable,
        detail: "this machine has no route to it",
        hint: NO_ROUTE_HINT,
    },
    Sign {
        message: "Network is unreachable",
        why: GapReason::Unreachable,
        detail: "this machine has no route to it",
        hint: NO_ROUTE_HINT,
    },
    Sign {
        message: "kex_exchange_identification",
        why: GapReason::ConnectionLost,
        detail: "it closed the connection before the login, as sshd does above MaxStartups",
        hint: "try again with a lower --concurrency, or raise MaxStartups in its sshd_config",
    },
    Sign {
        message: "stdio forwarding failed",
        why: GapReason::Unreachable,
        detail: "the jump host cannot reach it",
        hint: "check that the node's security group admits the jump host",
    },
    Sign {
        message: "Connection closed",
        why: GapReason::ConnectionLost,
        detail: "it closed the connection",
        hint: "try again; the log of its sshd has the reason",
    },
    Sign {
        message: "Bad configuration option",
        why: GapReason::Failed,
        detail: "ssh rejects one of its options",
        hint: "check --ssh-option and your ssh configuration",
    },
];

const NO_ANSWER_HINT: &str = "check that its security group admits you on port 22, or use a jump host: --ssh-option ProxyJump=BASTION; nodes of Bottlerocket accept no ssh by default";
const NO_ROUTE_HINT: &str =
    "use a jump host: --ssh-option ProxyJump=BASTION, or Session Manager with a ProxyCommand";

/// The first sign in standard error, and its line.
fn sign(stderr: &str) -> Option<(&'static Sign, &str)> {
    SIGNS.iter().find_map(|sign| {
        let line = stderr.lines().find(|line| line.contains(sign.message))?;
        Some((sign, line.trim_matches(['@', ' ', '\r'])))
    })
}

/// The host whose key changed, which may be a jump host.
fn changed_host(stderr: &str) -> Option<&str> {
    let after = stderr.split_once("Host key for ")?.1;
    let host = after.split_once(" has changed")?.0;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && !host.starts_with('-') && host.bytes().all(is_host)).then_some(host)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_destination_is_no_option_and_no_shell_syntax() {
        for good in [
            "10.0.0.1",
            "ec2-user@10.0.0.1",
            "bastion",
            "ssh://a@b.example:2222",
            "fe80::1%eth0",
            "i-0abc",
            "a-b@c",
        ] {
            assert!(good.parse::<Destination>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-oProxyCommand=x",
            "user@-oProxyCommand=x",
            "ssh://-oProxyCommand=x",
            "a b",
            "a\nb",
            "a;b",
            "$(a)",
            "a`b`",
            "a|b",
            "a'b",
            "user@",
            "\u{1b}[0m",
            "ä",
        ] {
            assert!(bad.parse::<Destination>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn options_of_the_user_precede_the_defaults() {
        let options = ["ConnectTimeout=1".to_owned()];
        let ssh = Ssh::new(Some("me"), &options, NodeAddress::Private, Duration::from_secs(30));
        let args = |to: &str| ssh.parse_target(to).expect("a destination").invocation("true").args;
        let args = |to: &str| args(to).join(OsStr::new(" ")).into_string().expect("UTF-8");
        assert!(args("host").starts_with("-o ConnectTimeout=1 -o "));
        assert!(args("host").ends_with(" -l me -- host sh -c 'true'"));
        assert!(args("you@host").ends_with("=no -- you@host sh -c 'true'"));
        assert!(!args("host").contains("StrictHostKeyChecking"));
    }
}
