//! Credentials: those of the SDK's default chain or of a named profile, with errors that are
//! explained.

use std::error::Error;

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;

use super::cause::NoCredentials;
use super::explanation::{Origin, explain, text_of};

/// The same credentials, with errors that are explained.
pub(super) fn explained(origin: Origin, provider: SharedCredentialsProvider) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Explained { provider, origin, known: Mutex::default() })
}

/// Credentials whose errors are explained.
#[derive(Debug)]
struct Explained {
    provider: SharedCredentialsProvider,
    origin: Origin,
    /// The explanation of the last error.
    known: Mutex<Option<NoCredentials>>,
}

/// The SDK's message for a profile that cannot be used, from the second time on.
const ALREADY_TAKEN: &str = "initialization error already taken";

impl Explained {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        // Locked meanwhile, so that the first error is stored before the second one occurs.
        let mut known = self.known.lock().await;
        let error = match self.provider.provide_credentials().await {
            Ok(credentials) => return Ok(credentials),
            Err(error) => error,
        };
        let explained = match &*known {
            Some(known) if text_of(&error).contains(ALREADY_TAKEN) => known.clone(),
            _ => explain(&error, &self.origin),
        };
        *known = Some(explained.clone());
        Err(CredentialsError::not_loaded(explained))
    }
}

impl ProvideCredentials for Explained {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// The credentials of a profile that was named. As for the aws CLI it takes precedence over
/// the environment; in the SDK's own chain it is the other way round.
pub(super) fn of_profile(profile: &str, config: &SdkConfig) -> SharedCredentialsProvider {
    let mut settings = ProviderConfig::without_region().with_region(config.region().cloned());
    if let Some(client) = config.http_client() {
        settings = settings.with_http_client(client);
    }
    let of_profile = ProfileFileCredentialsProvider::builder();
    let of_container = EcsCredentialsProvider::builder().configure(&settings).build();
    let of_machine = ImdsCredentialsProvider::builder().configure(&settings).build();
    let of_token = WebIdentityTokenCredentialsProvider::builder().configure(&settings).build();
    SharedCredentialsProvider::new(NamedProfile {
        profile: of_profile.configure(&settings).profile_name(profile).build(),
        others: CredentialsProviderChain::first_try("WebIdentityToken", of_token)
            .or_else("EcsContainer", of_container)
            .or_else("Ec2InstanceMetadata", of_machine),
    })
}

/// The credentials of a profile; others where it exists and has none.
#[derive(Debug)]
struct NamedProfile {
    profile: ProfileFileCredentialsProvider,
    others: CredentialsProviderChain,
}

impl NamedProfile {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        match self.profile.provide_credentials().await {
            // An error with a cause is one of the profile's own credentials.
            Err(error @ CredentialsError::CredentialsNotLoaded(_)) if error.source().is_none() => {
                self.others.provide_credentials().await
            }
            result => result,
        }
    }
}

impl ProvideCredentials for NamedProfile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}
