//! Errors of credentials in the user's terms. The SDK's own texts are matched and never shown:
//! they can contain what a process printed, or a URL with a password.

use std::error::Error;

use aws_config::SdkConfig;

use super::cause::{Cause, NoCredentials, chain, find};
use super::http::{Final, host_of};
use super::region;
use crate::model::shell::shell_word;

/// Where credentials come from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The profile, unless it is the default one.
    pub(super) profile: Option<String>,
    /// Whether the profile's credentials are those of a login to SSO.
    pub(super) is_sso: bool,
    /// The role that is assumed.
    pub(super) role: Option<String>,
    /// The region of requests for credentials.
    pub(super) region: String,
    /// The URL of the container's credentials.
    pub(super) container: Option<String>,
}

impl Origin {
    /// A profile, or what is configured.
    pub(super) fn new(config: &SdkConfig, profile: Option<&str>) -> Self {
        Self {
            profile: profile.map(str::to_owned),
            is_sso: false,
            role: None,
            container: None,
            region: config.region().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// An error of the SDK.
struct Known {
    /// The words of its text, one of which is enough.
    words: &'static [&'static str],
    /// The cause; `{profile}`, `{role}` and `{status}` are replaced.
    detail: &'static str,
    /// The next step; `{option}` is replaced.
    next: &'static str,
    cause: Cause,
}

/// The errors of sources of credentials. What a process prints can have the words of others.
const OF_SOURCES: [Known; 3] = [
    Known {
        words: &["external process", "credential_process", "credential process"],
        detail: "the credential_process{profile} {status}",
        next: "run its command by hand: it has to print JSON with Version, AccessKeyId and SecretAccessKey",
        cause: Cause::Reason,
    },
    Known {
        words: &["no providers in chain", "no credentials found in chain"],
        detail: "there are no credentials: the environment, a profile, SSO, and a role of this machine or container were tried",
        next: "log in (aws sso login), or pass another --profile; `aws configure list` shows where credentials come from",
        cause: Cause::Reason,
    },
    Known {
        words: &["IMDS", "instance metadata"],
        detail: "the instance metadata service gives this machine no credentials",
        next: "give the instance a role, and in a container allow a hop limit of 2; elsewhere log in (aws sso login), or pass --profile",
        cause: Cause::Reason,
    },
];

/// The error of a role that may not be assumed.
const ROLE_DENIED: Known = Known {
    words: &["AccessDenied", "not authorized"],
    detail: "{role} may not be assumed with these credentials (AccessDenied)",
    next: "allow these credentials sts:AssumeRole on the role, in their own policy and in the role's trust policy",
    cause: Cause::Reason,
};

/// The error of a login to SSO that has expired.
const EXPIRED_LOGIN: Known = Known {
    words: &["SSO", "access token", "UnauthorizedException", "ForbiddenException"],
    detail: "the SSO session{profile} has expired, or may not assume its role",
    next: "log in with: aws sso login{option}",
    cause: Cause::Reason,
};

/// The errors of requests for credentials.
const OF_REQUESTS: [Known; 7] = [
    Known {
        words: &["ECS provider", "AWS_CONTAINER"],
        detail: "the container's credentials cannot be requested: AWS_CONTAINER_CREDENTIALS_FULL_URI or AWS_CONTAINER_AUTHORIZATION_TOKEN cannot be used",
        next: "the URL begins with https://, or is that of this machine or of the container's agent",
        cause: Cause::Reason,
    },
    Known {
        words: &["cached SSO token"],
        detail: "the SSO session{profile} is not logged in",
        ..EXPIRED_LOGIN
    },
    EXPIRED_LOGIN,
    Known {
        words: &["ExpiredToken", "expired"],
        detail: "the credentials{profile} have expired",
        next: "log in again (aws sso login), and check that this machine's clock is right",
        cause: Cause::ExpiredCredentials,
    },
    Known {
        words: &["No such file", "Permission denied", "WebIdentityToken was not valid UTF-8"],
        detail: "the file with the web identity token{profile} cannot be read",
        next: "check AWS_WEB_IDENTITY_TOKEN_FILE, or web_identity_token_file in the profile",
        cause: Cause::Reason,
    },
    Known {
        words: &[
            "InvalidIdentityToken",
            "IDPCommunicationError",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
            "UnrecognizedClient",
        ],
        detail: "AWS rejects the credentials{profile}, or the token with which {role} is assumed",
        next: "check whose they are with `aws sts get-caller-identity`, and that this machine's clock is right",
        cause: Cause::InvalidCredentials,
    },
    Known {
        words: &["timed out", "timeout", "Timeout"],
        detail: "there was no answer in time to the request for the credentials{profile}",
        next: "try again, or pass a longer --timeout",
        cause: Cause::Reason,
    },
];

/// Any other error.
const UNKNOWN: Known = Known {
    words: &[],
    detail: "the credentials{profile} cannot be loaded",
    next: "`aws sts get-caller-identity` shows the error, and `aws configure list` where credentials come from",
    cause: Cause::Reason,
};

/// The texts of an error and of its sources.
pub(super) fn text_of(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<_> = chain(error).map(ToString::to_string).collect();
    texts.join("\n")
}

/// Explains an error of the SDK.
pub(super) fn explain(error: &(dyn Error + 'static), origin: &Origin) -> NoCredentials {
    if let Some(known) = find::<NoCredentials>(error) {
        return known.clone();
    }
    let text = text_of(error);
    let is = |known: &&Known| known.words.iter().any(|word| text.contains(word));
    if let Some(known) = OF_SOURCES.iter().find(is) {
        return known.explanation(&text, origin);
    }
    if let Some(reason) = find::<Final>(error) {
        return not_sent(reason, origin);
    }
    let assumes = origin.role.is_some() || text.contains("AssumeRole");
    let denied = Some(&ROLE_DENIED).filter(|known| assumes && is(known));
    let last = if origin.is_sso { &EXPIRED_LOGIN } else { &UNKNOWN };
    denied.or_else(|| OF_REQUESTS.iter().find(is)).unwrap_or(last).explanation(&text, origin)
}

/// The explanation of a request for credentials that got no answer.
fn not_sent(reason: &Final, origin: &Origin) -> NoCredentials {
    let container = origin.container.as_deref().map(host_of);
    let next = match reason {
        Final::NoSuchHost(host) | Final::NotResolved(host) | Final::Refused(host)
            if container.as_ref() == Some(host) =>
        {
            "is AWS_CONTAINER_CREDENTIALS_FULL_URI right?".to_owned()
        }
        reason => region::next_step(reason, &origin.region),
    };
    let is_unknown = region::is_unknown_region(reason, &origin.region);
    NoCredentials {
        detail: format!("the credentials{} cannot be requested: {reason}", of_profile(origin)),
        next,
        cause: if is_unknown { Cause::Configuration } else { Cause::Reason },
    }
}

fn of_profile(origin: &Origin) -> String {
    origin.profile.as_ref().map(|profile| format!(" of the profile {profile:?}")).unwrap_or_default()
}

impl Known {
    fn explanation(&self, text: &str, origin: &Origin) -> NoCredentials {
        let profile = of_profile(origin);
        let role = match &origin.role {
            Some(role) => format!("the role {role}"),
            None => format!("the role{profile}"),
        };
        let option =
            origin.profile.as_ref().map(|profile| format!(" --profile {}", shell_word(profile, "NAME")));
        let status = text.split_once("exited with code ").and_then(|(_, rest)| rest.split_once(". Stderr"));
        let status = match status {
            Some((status, _)) => format!("ends with {status}"),
            None => "does not print credentials".to_owned(),
        };
        let detail = self.detail.replace("{profile}", &profile).replace("{role}", &role);
        NoCredentials {
            detail: detail.replace("{status}", &status),
            next: self.next.replace("{option}", &option.unwrap_or_default()),
            cause: self.cause,
        }
    }
}
