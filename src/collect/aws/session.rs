//! Who asks AWS, and where: the SDK's whole default chain, plus what the
//! command line says.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};

/// Where AWS is and who asks it; what is `None` comes from the environment and
/// the files that the aws CLI reads.
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
    /// The longest that an operation may take, its retries included.
    pub timeout: Duration,
}

/// Attempts at an operation, the first included, unless the user's
/// configuration says more: throttling should cost time and not the answer, and
/// the operation's time-out ends it anyway.
const ATTEMPTS_MIN: u32 = 10;

/// What all that is asked has in common: the user's configuration.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    config: SdkConfig,
    timeout: Duration,
}

/// Clients of the services asked.
#[derive(Debug, Clone)]
pub struct Session {
    pub(super) eks: aws_sdk_eks::Client,
    pub(super) ec2: aws_sdk_ec2::Client,
    /// The region asked.
    pub(super) region: String,
    pub(super) timeout: Duration,
}

impl Base {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If the CA bundle cannot be read.
    pub(crate) async fn load(request: &AwsRequest) -> Result<Self> {
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(request.timeout)
            // A network that drops packets should leave time for another attempt.
            .connect_timeout(request.timeout.min(Duration::from_secs(5)))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .app_name(AppName::new("eks-netcheck").context("the app name")?)
            .timeout_config(timeouts);
        if let Some(region) = &request.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &request.profile {
            loader = loader.profile_name(profile);
        }
        // One for all that is asked: each would read the system's roots anew.
        loader = loader.http_client(http_client(request.ca_bundle.as_deref())?);
        let mut config = loader.load().await;
        if let Some(profile) = &request.profile {
            let provider = credentials_of(profile, &config);
            config = config.into_builder().credentials_provider(provider).build();
        }
        let retry = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        let attempts = retry.max_attempts().max(ATTEMPTS_MIN);
        let config = config.to_builder().retry_config(retry.with_max_attempts(attempts)).build();
        Ok(Self { config, timeout: request.timeout })
    }

    /// The same, asked as whoever assumes a role.
    ///
    /// # Errors
    /// If there is nobody to assume it.
    pub(crate) async fn assume(&self, role: &str) -> Result<Self> {
        let provider = AssumeRoleProvider::builder(role)
            .session_name("eks-netcheck")
            .configure(&self.config)
            .build_from_provider(credentials(&self.config)?)
            .await;
        let provider = SharedCredentialsProvider::new(provider);
        let config = self.config.to_builder().credentials_provider(provider).build();
        Ok(Self { config, timeout: self.timeout })
    }

    /// The region that the configuration says.
    pub(crate) fn region(&self) -> Option<String> {
        self.config.region().map(ToString::to_string)
    }

    /// Clients for a region.
    ///
    /// # Errors
    /// If that is none.
    pub(crate) fn session(&self, region: String) -> Result<Session> {
        // A host label, which it becomes a part of.
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            bail!("{region:?} is no region; one is called as ap-northeast-2 is");
        }
        let config = self.config.to_builder().region(Region::new(region.clone())).build();
        Ok(Session {
            eks: aws_sdk_eks::Client::new(&config),
            ec2: aws_sdk_ec2::Client::new(&config),
            region,
            timeout: self.timeout,
        })
    }
}

/// What to do where nobody says which region.
pub(crate) const NO_REGION: &str = "no region: pass --region, set AWS_REGION, or write one into the profile with: aws configure set region REGION";

impl Session {
    /// Reads the configuration, for one cluster.
    ///
    /// # Errors
    /// If there is no region, or the CA bundle cannot be read.
    pub async fn open(request: &AwsRequest) -> Result<Self> {
        let base = Base::load(request).await?;
        let Some(region) = base.region() else { bail!(NO_REGION) };
        match &request.role_arn {
            Some(role) => base.assume(role).await?.session(region),
            None => base.session(region),
        }
    }
}

/// The credentials of a profile that was named: as for the aws CLI it goes
/// before the environment, which the SDK's own chain has the other way round.
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
        others: CredentialsProviderChain::first_try("WebIdentityToken", of_token)
            .or_else("EcsContainer", of_container)
            .or_else("Ec2InstanceMetadata", of_machine),
    })
}

/// The credentials of a profile; others where it is there and has none.
#[derive(Debug)]
struct NamedProfile {
    profile: ProfileFileCredentialsProvider,
    others: CredentialsProviderChain,
}

impl ProvideCredentials for NamedProfile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            match self.profile.provide_credentials().await {
                // What tells no cause has none to tell.
                Err(error @ CredentialsError::CredentialsNotLoaded(_)) if error.source().is_none() => {
                    self.others.provide_credentials().await
                }
                told => told,
            }
        })
    }
}

fn credentials(config: &SdkConfig) -> Result<SharedCredentialsProvider> {
    config.credentials_provider().context("no credentials to assume the role with")
}

/// An HTTP client that goes by the environment's proxy, and trusts a bundle beside
/// the system's roots.
fn http_client(bundle: Option<&Path>) -> Result<aws_sdk_ec2::config::SharedHttpClient> {
    let mut roots = TrustStore::default();
    if let Some(bundle) = bundle {
        let pem = std::fs::read(bundle)
            .with_context(|| format!("AWS_CA_BUNDLE: cannot read {}", bundle.display()))?;
        roots = roots.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder().with_trust_store(roots).build();
    let tls = match bundle {
        Some(bundle) => {
            tls.with_context(|| format!("AWS_CA_BUNDLE: {} holds no certificates in PEM", bundle.display()))?
        }
        None => tls.context("the system's root certificates")?,
    };
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
