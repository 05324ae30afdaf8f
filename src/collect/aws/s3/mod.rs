//! S3: gets one object, which may appear only later.
//!
//! Requests are signed here: the SDK's own client of S3 has a dozen crates more than the
//! other clients.

mod endpoint;
mod refusal;
mod signature;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant as StdInstant, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_ec2::config::http::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use tokio::sync::{Mutex, OnceCell, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use self::endpoint::Endpoint;
pub(crate) use self::endpoint::Object;
use self::refusal::{Refusal, refusal};
use self::signature::sign;
use super::failure::Failure;
use super::http::{Limited, S3_MAX};
use super::paging::log;
use crate::evidence::aws::ssm::GET_OBJECT;
use crate::model::gap::GapReason;

/// The time before an object is requested again, the first time and at most.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long an object is requested that S3 denies without a reason. It denies those that do
/// not exist, too, unless the objects of the bucket may be listed.
const DENIED_MAX: Duration = Duration::from_secs(10);
/// How many requests are sent at a time: each answer is in memory as a whole.
const REQUESTS: usize = 8;
/// Credentials that expire sooner are replaced before a request.
const CREDENTIALS_MARGIN: Duration = Duration::from_mins(1);

/// What requests to S3 are made of.
#[derive(Debug, Clone)]
pub(super) struct S3(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SdkConfig,
    http: Limited,
    timeout: Duration,
    connector: OnceLock<SharedHttpConnector>,
    endpoint: OnceCell<Endpoint>,
    credentials: Mutex<Option<Credentials>>,
    /// The permits of requests.
    requests: Semaphore,
}

/// The bytes of an object.
#[derive(Debug)]
pub(crate) struct Content(SdkBody);

impl Content {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.bytes().unwrap_or_default()
    }
}

impl S3 {
    /// Requests with a configuration, whose region is the first in which a bucket is looked for.
    pub(super) fn new(config: SdkConfig, http: Limited, timeout: Duration) -> Self {
        let (connector, endpoint, credentials) = Default::default();
        let requests = Semaphore::new(REQUESTS);
        Self(Arc::new(Inner { config, http, timeout, connector, endpoint, credentials, requests }))
    }

    /// The client, made where it is needed first.
    fn connector(&self) -> &SharedHttpConnector {
        self.0.connector.get_or_init(|| {
            let settings = HttpConnectorSettings::builder()
                .connect_timeout(self.0.timeout.min(Duration::from_secs(5)))
                .build();
            self.0.http.connector(S3_MAX, settings, self.0.config.sleep_impl())
        })
    }

    async fn credentials(&self) -> Result<Credentials, Failure> {
        let mut known = self.0.credentials.lock().await;
        if let Some(credentials) = known.as_ref().filter(|credentials| is_valid(credentials)) {
            return Ok(credentials.clone());
        }
        let provider = self.0.config.credentials_provider();
        let provider = provider.ok_or_else(|| Failure::new(GapReason::NoCredentials, "there are none"))?;
        let credentials =
            provider.provide_credentials().await.map_err(|error| Failure::of_credentials(&error))?;
        *known = Some(credentials.clone());
        Ok(credentials)
    }

    /// Requests an object once.
    async fn request(&self, region: &str, object: Object<'_>) -> Result<Content, Refusal> {
        let config = &self.0.config;
        // It fails if the semaphore was closed, which it never is.
        let _permit = self.0.requests.acquire().await;
        let endpoint = self.0.endpoint.get_or_try_init(|| Endpoint::of(config)).await;
        let endpoint = endpoint.map_err(Refusal::Final)?;
        let url = endpoint.url(region, object);
        let mut request = HttpRequest::new(SdkBody::empty());
        let no_endpoint = |_| Refusal::Final(Failure::no_endpoint(&endpoint.to_string()));
        request.set_uri(url.clone()).map_err(no_endpoint)?;
        let credentials = self.credentials().await.map_err(Refusal::Final)?;
        let malformed = |_| Refusal::Final(Failure::malformed("no request can be made of the configuration"));
        let headers = sign(&url, &[], credentials, region, now()).map_err(malformed)?;
        let agent = concat!("eks-netcheck/", env!("CARGO_PKG_VERSION"));
        let agent = ("user-agent".to_owned(), agent.to_owned());
        for (name, value) in headers.into_iter().chain([agent]) {
            request.headers_mut().try_insert(name, value).map_err(|error| malformed(error.into()))?;
        }
        let answer = self.connector().call(request).await;
        let answer = answer.map_err(|error| Refusal::not_sent(&error, region))?;
        read(answer, region, object)
    }

    /// Gets an object, which may appear until then.
    pub(super) async fn get(&self, object: Object<'_>, until: Instant) -> Result<Content, Failure> {
        let began = StdInstant::now();
        let got = self.get_until(object, until).await;
        log(GET_OBJECT, began, &got);
        got
    }

    async fn get_until(&self, object: Object<'_>, until: Instant) -> Result<Content, Failure> {
        let began = Instant::now();
        let first = self.0.config.region().map(ToString::to_string).unwrap_or_default();
        let mut region = first.clone();
        let mut last: Option<Failure> = None;
        let mut pause = PAUSE;
        loop {
            let Ok(answer) = timeout_at(until, self.request(&region, object)).await else {
                let none = || {
                    let seconds = began.elapsed().as_secs();
                    Failure::new(GapReason::TimedOut, format!("no answer within {seconds} s"))
                };
                return Err(last.unwrap_or_else(none));
            };
            let failure = match answer {
                Ok(content) => return Ok(content),
                // Followed once: the answer of the bucket's own region is about the bucket.
                Err(Refusal::Moved(other, _)) if region == first => {
                    region = other;
                    continue;
                }
                Err(Refusal::Moved(_, failure) | Refusal::Final(failure)) => return Err(failure),
                Err(Refusal::Denied(failure)) if began.elapsed() >= DENIED_MAX => return Err(failure),
                Err(Refusal::Denied(failure) | Refusal::Later(failure)) => failure,
            };
            if Instant::now() + pause >= until {
                return Err(failure);
            }
            last = Some(failure);
            sleep(pause).await;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
    }
}

/// The time of this machine.
fn now() -> SystemTime {
    Timestamp::now().into()
}

/// Whether credentials can be used for another request.
fn is_valid(credentials: &Credentials) -> bool {
    credentials.expiry().is_none_or(|expiry| expiry > now() + CREDENTIALS_MARGIN)
}

/// The object of an answer, or why it has none.
fn read(answer: HttpResponse, region: &str, object: Object<'_>) -> Result<Content, Refusal> {
    if answer.status().as_u16() == 200 {
        return Ok(Content(answer.into_body()));
    }
    let body = answer.body().bytes().unwrap_or_default();
    let of_bucket = answer.headers().get("x-amz-bucket-region");
    Err(refusal(answer.status().as_u16(), of_bucket, body, region, object))
}
