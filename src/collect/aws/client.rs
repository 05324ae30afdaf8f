//! The clients of AWS and their configuration: the SDK's whole default chain, and the
//! options of the command line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer;
use super::cause::configuration;
use super::credentials::{explained, of_profile};
use super::explanation::Origin;
use super::failure::Failure;
use super::http::{CREDENTIALS_MAX, EC2_MAX, EKS_MAX, Limited, SSM_MAX};
use super::profiles::{self, Variables};
use super::region::{LABEL_MAX, is_region};
use super::roots;
use super::s3::{Content, Object, S3};
use crate::collect::error::{CollectError, Result};

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
    /// Variables of the environment.
    pub variables: Variables,
    /// The time limit of an operation, its retries included.
    pub timeout: Duration,
}

/// The attempts at an operation, the first included, unless the user configures more:
/// throttling should delay the answer and not prevent it, and the operation's time-out ends it
/// anyway.
const ATTEMPTS_MIN: u32 = 10;

/// The user's configuration, with the credentials of one account.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    sdk: SdkConfig,
    http: Limited,
    timeout: Duration,
    memory: Arc<Semaphore>,
}

/// A client of EKS, EC2, Systems Manager and S3 in one account and region.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(super) eks: aws_sdk_eks::Client,
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) ssm: aws_sdk_ssm::Client,
    pub(super) s3: S3,
    /// The region.
    pub(super) region: String,
    pub(super) timeout: Duration,
    /// The memory of all lists.
    pub(super) memory: Arc<Semaphore>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If there are no root certificates where the environment says, or the profile cannot be used.
    pub(crate) async fn load(request: &AwsRequest) -> Result<Self> {
        let is_sso = profiles::check(request.profile.as_deref(), &request.variables).await?;
        let app_name = AppName::new("eks-netcheck").map_err(|error| configuration("the app name", &error))?;
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(request.timeout)
            // Leaves time for another attempt where a network drops packets.
            .connect_timeout(request.timeout.min(Duration::from_secs(5)))
            .build();
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).app_name(app_name).timeout_config(timeouts);
        // Answers are in memory before the SDK could see them stall.
        loader = loader.stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = &request.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &request.profile {
            loader = loader.profile_name(profile);
        }
        // One for all clients: each would read the system's root certificates again.
        let tls = roots::trusted(request.ca_bundle.as_deref(), request.variables.roots)?;
        let http = Limited::new(tls);
        let mut sdk = loader.http_client(http.with_max(CREDENTIALS_MAX)).load().await;
        let named = request.profile.as_deref();
        let provider = match named {
            Some(profile) => Some(of_profile(profile, &sdk)),
            None => sdk.credentials_provider(),
        };
        if let Some(provider) = provider {
            let profile = named.or(request.variables.profile.as_deref());
            let container = request.variables.container.clone();
            let origin = Origin { is_sso, container, ..Origin::new(&sdk, profile) };
            let provider = explained(origin, provider);
            sdk = sdk.into_builder().credentials_provider(provider).build();
        }
        let retry = sdk.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        let attempts = retry.max_attempts().max(ATTEMPTS_MIN);
        let sdk = sdk.to_builder().retry_config(retry.with_max_attempts(attempts)).build();
        Ok(Self { sdk, http, timeout: request.timeout, memory: answer::memory() })
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
        let provider = explained(
            Origin { role: Some(role.to_owned()), ..Origin::new(&self.sdk, None) },
            SharedCredentialsProvider::new(provider),
        );
        let sdk = self.sdk.to_builder().credentials_provider(provider).build();
        Ok(Self { sdk, ..self.clone() })
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
        if !is_region(&region) {
            let region: String = region.chars().take(LABEL_MAX).collect();
            let problem = format!("{region:?} is not a region; pass one such as ap-northeast-2");
            return Err(CollectError::Configuration(problem));
        }
        let sdk = self.sdk.to_builder().region(Region::new(region.clone())).build();
        Ok(Client {
            eks: aws_sdk_eks::Client::from_conf(
                aws_sdk_eks::config::Builder::from(&sdk).http_client(self.http.with_max(EKS_MAX)).build(),
            ),
            ec2: aws_sdk_ec2::Client::from_conf(
                aws_sdk_ec2::config::Builder::from(&sdk).http_client(self.http.with_max(EC2_MAX)).build(),
            ),
            ssm: aws_sdk_ssm::Client::from_conf(
                aws_sdk_ssm::config::Builder::from(&sdk).http_client(self.http.with_max(SSM_MAX)).build(),
            ),
            s3: S3::new(sdk, self.http.clone(), self.timeout),
            region,
            timeout: self.timeout,
            memory: Arc::clone(&self.memory),
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

    /// Gets an object of S3, which may appear until then.
    pub(crate) async fn object(&self, object: Object<'_>, until: Instant) -> Result<Content, Failure> {
        self.s3.get(object, until).await
    }

    /// Its region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }
}

fn credentials(config: &SdkConfig) -> Result<SharedCredentialsProvider> {
    config
        .credentials_provider()
        .ok_or_else(|| CollectError::Configuration("no credentials to assume the role with".to_owned()))
}
