//! The profiles in the files of the aws CLI, checked before they are used: that the chosen one
//! exists, with all that it refers to.

use std::error::Error;
use std::path::{Path, PathBuf};

use aws_config::profile::{self, Profile, ProfileSet};

use crate::collect::error::{CollectError, Result};
use crate::model::shell::shell_word;

/// The most names of profiles in a message.
const NAMES_MAX: usize = 20;

/// The most characters of a name in a message.
const NAME_MAX: usize = 100;

/// Environment variables that the SDK reads too, for its errors to be explained.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// `AWS_PROFILE`.
    pub profile: Option<String>,
    /// Whether there is a key in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub has_keys: bool,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub container: Option<String>,
    /// The one that is set of those that name the system's root certificates.
    pub roots: Option<&'static str>,
    /// The variables that name files which the SDK reads whole, and these files.
    pub files: Vec<(&'static str, PathBuf)>,
}

/// The largest such file.
const FILE_MAX: u64 = 16 << 20;

/// What `credential_source` may be.
const SOURCES: [&str; 3] = ["Environment", "Ec2InstanceMetadata", "EcsContainer"];

/// Checks the profile that is named or else configured. With keys in the environment no
/// profile is needed, unless it is named.
///
/// Returns whether its credentials are those of a login to SSO.
///
/// # Errors
/// If the files cannot be parsed, there is no such profile, or it cannot give credentials.
#[expect(clippy::default_trait_access, reason = "two of the types are internal to the SDK")]
pub(super) async fn check(named: Option<&str>, variables: &Variables) -> Result<bool> {
    for (variable, path) in &variables.files {
        check_file(path).map_err(|problem| {
            CollectError::Configuration(format!("{variable}: {} {problem}", path.display()))
        })?;
    }
    if named.is_none() && variables.has_keys {
        return Ok(false);
    }
    let selected = named.map(|name| name.to_owned().into());
    let loaded = profile::load(&Default::default(), &Default::default(), &Default::default(), selected).await;
    let profiles = loaded.map_err(|error| CollectError::Configuration(unreadable(&error)))?;
    let name = profiles.selected_profile();
    let is_chosen = named.is_some() || variables.profile.is_some();
    check_profile(&profiles, name, is_chosen).map_err(CollectError::Configuration)
}

/// Checks a file that the SDK would read to its end, which a pipe or a device need not have.
fn check_file(path: &Path) -> Result<(), String> {
    // It is the usual way to have no file; one that does not exist is none either.
    let Some(file) = path.metadata().ok().filter(|_| path != Path::new("/dev/null")) else { return Ok(()) };
    if !file.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if file.len() > FILE_MAX {
        return Err(format!("is larger than {} MiB", FILE_MAX >> 20));
    }
    Ok(())
}

/// The message for files that cannot be parsed, with the file and the line and not its text.
fn unreadable(error: &profile::ProfileFileLoadError) -> String {
    let parsed = error.source().map(ToString::to_string).filter(|text| text.starts_with("error parsing "));
    let text = parsed.unwrap_or_else(|| error.to_string());
    let place = text.lines().next().unwrap_or_default();
    let place =
        place.trim_start_matches("error parsing ").trim_end_matches(':').replace(" on line ", ", line ");
    format!(
        "the AWS configuration cannot be read: {place}: expected [profile NAME], or KEY = VALUE below it; correct the file, or set AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE to others"
    )
}

fn check_profile(profiles: &ProfileSet, selected: &str, is_chosen: bool) -> Result<bool, String> {
    let Some(mut profile) = profiles.get_profile(selected) else {
        return if is_chosen { Err(missing(profiles, selected)) } else { Ok(false) };
    };
    let mut seen = vec![selected];
    loop {
        check_fields(profiles, profile)?;
        let Some(source) = profile.get("source_profile").filter(|_| profile.get("role_arn").is_some()) else {
            return Ok(profile.get("sso_session").or(profile.get("sso_start_url")).is_some());
        };
        // A profile with keys of its own may name itself, and ends a chain that leads to it.
        let has_keys = profile.get("aws_access_key_id").is_some();
        if has_keys && (source == profile.name() || seen.len() > 1) {
            return Ok(false);
        }
        if seen.contains(&source) {
            seen.push(source);
            let all = seen.join(" -> ");
            return Err(format!(
                "the profile {selected:?} takes its credentials from itself by source_profile ({all}); correct ~/.aws/config"
            ));
        }
        seen.push(source);
        profile = profiles.get_profile(source).ok_or_else(|| {
            let name = profile.name();
            format!("source_profile of the profile {name:?}: {}", missing(profiles, source))
        })?;
    }
}

/// Checks what a profile has itself.
fn check_fields(profiles: &ProfileSet, profile: &Profile) -> Result<(), String> {
    let name = profile.name();
    let keys = ["aws_access_key_id", "aws_secret_access_key"];
    let has_role = profile.get("role_arn").is_some();
    if !has_role
        && let Some((present, absent)) = [(keys[0], keys[1]), (keys[1], keys[0])]
            .into_iter()
            .find(|(present, absent)| profile.get(present).is_some() && profile.get(absent).is_none())
    {
        return Err(format!(
            "the profile {name:?} has {present} and no {absent}; write it with: aws configure --profile {}",
            shell_word(name, "NAME")
        ));
    }
    if let Some(source) = profile
        .get("credential_source")
        .filter(|source| has_role && !SOURCES.iter().any(|known| known.eq_ignore_ascii_case(source)))
    {
        let all = SOURCES.join(", ");
        return Err(format!("the profile {name:?} has the credential_source {source:?}; it can be {all}"));
    }
    if let Some(session) = profile.get("sso_session")
        && profiles.sso_session(session).is_none()
    {
        return Err(format!(
            "the profile {name:?} has the sso_session {session:?}, which does not exist; write it with: aws configure sso-session"
        ));
    }
    Ok(())
}

/// The message for a profile that does not exist, with those that do.
fn missing(profiles: &ProfileSet, name: &str) -> String {
    // A longer name is none that anyone meant.
    let name: &str = &name.chars().take(NAME_MAX).collect::<String>();
    let mut names: Vec<_> = profiles.profiles().filter(|known| known.len() <= NAME_MAX).collect();
    names.sort_unstable();
    if names.is_empty() {
        return format!(
            "there is no profile {name:?}, and no other; create it with: aws configure --profile {}",
            shell_word(name, "NAME")
        );
    }
    let near = names.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
    let near = near.filter(|(distance, known)| *distance <= known.len().div_ceil(3)).min();
    let near = near.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default();
    let more = if names.len() > NAMES_MAX { ", ..." } else { "" };
    let names = names[..names.len().min(NAMES_MAX)].join(", ");
    format!("there is no profile {name:?}{near}; the profiles are {names}{more}")
}
