//! The clients of AWS and their configuration: the SDK's whole default chain, and the
//! options of the command line.

use std::error::Error;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use tokio::sync::Mutex;

use super::failure::causes;
use crate::collect::error::{CollectError, Result};
use crate::evidence::files::open_regular;

/// The account and region to send requests to. What is `None` comes from the environment
/// and the files that the aws CLI reads.
#[derive(Debug, Clone)]
pub struct AwsRequest {
    /// The region.
    pub region: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// A role to assume first.
    pub role_arn: Option<String>,
    /// `AWS_CA_BUNDLE`: more certificates to trust.
    pub ca_bundle: Option<PathBuf>,
    /// The time limit of an operation, its retries included.
    pub timeout: Duration,
}

/// The attempts at an operation, the first included, unless the user configures more:
/// throttling should delay the answer and not prevent it, and the operation's time-out ends it
/// anyway.
const ATTEMPTS_MIN: u32 = 10;

/// The largest bundle of certificates that is read.
const BUNDLE_MAX: u64 = 16 << 20;

/// The user's configuration, with the credentials of one account.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    sdk: SdkConfig,
    timeout: Duration,
}

/// A client of EKS and EC2 in one account and region.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(super) eks: aws_sdk_eks::Client,
    pub(super) ec2: aws_sdk_ec2::Client,
    /// The region.
    pub(super) region: String,
    pub(super) timeout: Duration,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If the CA bundle cannot be read.
    pub(crate) async fn load(request: &AwsRequest) -> Result<Self> {
        let app_name = AppName::new("eks-netcheck").map_err(|error| configuration("the app name", &error))?;
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(request.timeout)
            // Leaves time for another attempt where a network drops packets.
            .connect_timeout(request.timeout.min(Duration::from_secs(5)))
            .build();
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).app_name(app_name).timeout_config(timeouts);
        if let Some(region) = &request.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &request.profile {
            loader = loader.profile_name(profile);
        }
        // One for all clients: each would read the system's root certificates again.
        loader = loader.http_client(http_client(request.ca_bundle.as_deref())?);
        let mut sdk = loader.load().await;
        if let Some(profile) = &request.profile {
            let provider = credentials_of(profile, &sdk);
            sdk = sdk.into_builder().credentials_provider(provider).build();
        }
        let retry = sdk.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        let attempts = retry.max_attempts().max(ATTEMPTS_MIN);
        let sdk = sdk.to_builder().retry_config(retry.with_max_attempts(attempts)).build();
        Ok(Self { sdk, timeout: request.timeout })
    }

    /// The same with the credentials of a role.
    ///
    /// # Errors
    /// If there are no credentials to assume it with.
    pub(crate) async fn assume(&self, role: &str) -> Result<Self> {
        let provider = AssumeRoleProvider::builder(role)
            .session_name("eks-netcheck")
            .configure(&self.sdk)
            .build_from_provider(credentials(&self.sdk)?)
            .await;
        let provider = SharedCredentialsProvider::new(provider);
        let sdk = self.sdk.to_builder().credentials_provider(provider).build();
        Ok(Self { sdk, timeout: self.timeout })
    }

    /// The configured region.
    pub(crate) fn region(&self) -> Option<String> {
        self.sdk.region().map(ToString::to_string)
    }

    /// A client for a region.
    ///
    /// # Errors
    /// If that is not the name of a region.
    pub(crate) fn client(&self, region: String) -> Result<Client> {
        // It becomes a part of a host name.
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let problem = format!("{region:?} is not a region; pass one such as ap-northeast-2");
            return Err(CollectError::Configuration(problem));
        }
        let sdk = self.sdk.to_builder().region(Region::new(region.clone())).build();
        Ok(Client {
            eks: aws_sdk_eks::Client::new(&sdk),
            ec2: aws_sdk_ec2::Client::new(&sdk),
            region,
            timeout: self.timeout,
        })
    }
}

/// The error where no region is configured.
pub(crate) fn no_region() -> CollectError {
    let message = "no region: pass --region, set AWS_REGION, or write one into the profile with: aws configure set region REGION";
    CollectError::Configuration(message.to_owned())
}

impl Client {
    /// A client for one account and region, from the configuration.
    ///
    /// # Errors
    /// If there is no region, or the CA bundle cannot be read.
    pub(crate) async fn open(request: &AwsRequest) -> Result<Self> {
        let config = Config::load(request).await?;
        let region = config.region().ok_or_else(no_region)?;
        match &request.role_arn {
            Some(role) => config.assume(role).await?.client(region),
            None => config.client(region),
        }
    }

    /// Its region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }
}

/// The credentials of a profile that was named. As for the aws CLI it takes precedence over
/// the environment; in the SDK's own chain it is the other way round.
fn credentials_of(profile: &str, config: &SdkConfig) -> SharedCredentialsProvider {
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
        error: Mutex::default(),
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
    /// The causes of the last error of the profile.
    error: Mutex<Option<String>>,
}

/// The SDK's message for a profile that cannot be used, from the second time on.
const ALREADY_TAKEN: &str = "initialization error already taken";

impl NamedProfile {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        // Locked meanwhile, so that the first error is stored before the second one occurs.
        let mut known = self.error.lock().await;
        let error = match self.profile.provide_credentials().await {
            // An error with a cause is one of the profile's own credentials.
            Err(error @ CredentialsError::CredentialsNotLoaded(_)) if error.source().is_none() => {
                drop(known);
                return self.others.provide_credentials().await;
            }
            Err(error) => error,
            Ok(credentials) => return Ok(credentials),
        };
        let text = causes(error.source().unwrap_or(&error));
        if text.contains(ALREADY_TAKEN)
            && let Some(known) = &*known
        {
            return Err(CredentialsError::not_loaded(known.clone()));
        }
        *known = Some(text);
        Err(error)
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

fn credentials(config: &SdkConfig) -> Result<SharedCredentialsProvider> {
    config
        .credentials_provider()
        .ok_or_else(|| CollectError::Configuration("no credentials to assume the role with".to_owned()))
}

/// An HTTP client that uses the environment's proxy, and trusts a bundle in addition to
/// the system's root certificates.
fn http_client(bundle: Option<&Path>) -> Result<aws_sdk_ec2::config::SharedHttpClient> {
    let mut roots = TrustStore::default();
    if let Some(bundle) = bundle {
        let pem = read_bundle(bundle).map_err(|error| {
            configuration(&format!("AWS_CA_BUNDLE: cannot read {}", bundle.display()), &error)
        })?;
        roots = roots.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder().with_trust_store(roots).build();
    let tls = tls.map_err(|error| {
        let problem = bundle.map_or_else(
            || "the system's root certificates".to_owned(),
            |bundle| format!("AWS_CA_BUNDLE: {} contains no certificates in PEM format", bundle.display()),
        );
        configuration(&problem, &error)
    })?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(tls.clone())
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    }))
}

/// The certificates of a bundle.
fn read_bundle(bundle: &Path) -> io::Result<Vec<u8>> {
    let invalid = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
    let file = open_regular(bundle)?.ok_or_else(|| invalid("it is not a regular file"))?;
    let mut pem = Vec::new();
    file.take(BUNDLE_MAX + 1).read_to_end(&mut pem)?;
    if pem.len() as u64 > BUNDLE_MAX {
        return Err(invalid("it is larger than 16 MiB"));
    }
    Ok(pem)
}

/// The error that the configuration cannot be used, with its causes.
fn configuration(problem: &str, error: &(dyn Error + 'static)) -> CollectError {
    CollectError::Configuration(format!("{problem}: {}", causes(error)))
}
