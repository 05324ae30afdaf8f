//! Requests to AWS: all pages of an answer, and a record of the attempts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, FinalizerInterceptorContextMut,
    FinalizerInterceptorContextRef,
};
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::OrchestratorError;
use tracing::debug;

use super::cause::causes;
use super::failure::Failure;
use super::parts::{Rest, split};
use super::whole::check_xml;
use crate::model::gap::GapReason;

/// An interceptor that records the attempts at an operation. An attempt whose answer is a
/// part of an XML document fails, and is repeated like one whose connection was lost.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts {
    record: Arc<Mutex<Record>>,
    /// The region of the requests.
    region: String,
    keeps_body: bool,
}

#[derive(Debug, Default)]
struct Record {
    count: u32,
    /// The error of the last attempt, which a time-out of the operation would hide.
    last_error: Option<String>,
    /// The body of the last response.
    body: Vec<u8>,
    /// What follows the first part of the last response.
    rest: Option<Rest>,
}

impl Attempts {
    /// A record of requests in a region.
    pub(super) fn in_region(region: &str) -> Self {
        Self { region: region.to_owned(), ..Self::default() }
    }

    /// The same, with the body of the response.
    pub(super) fn with_body(self) -> Self {
        Self { keeps_body: true, ..self }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of the last response.
    pub(super) fn take_body(&self) -> Vec<u8> {
        std::mem::take(&mut self.record().body)
    }

    /// What follows the first part of the last response.
    pub(super) fn take_rest(&self) -> Option<Rest> {
        self.record().rest.take()
    }

    /// The failure that an error of the operation is.
    pub(super) fn failure<E>(&self, error: &SdkError<E, HttpResponse>, timeout: Duration) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if matches!(error, SdkError::TimeoutError(_)) {
            self.timed_out(timeout)
        } else {
            Failure::from_sdk(error, &self.region)
        }
    }

    /// The failure of an operation that took too long.
    pub(super) fn timed_out(&self, timeout: Duration) -> Failure {
        let record = self.record();
        let last =
            record.last_error.as_ref().map(|last| format!("; the last of {} attempts: {last}", record.count));
        Failure::new(
            GapReason::TimedOut,
            format!("no answer within {} s{}", timeout.as_secs(), last.unwrap_or_default()),
        )
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let rest = if response.status().is_success() { split(response) } else { None };
        self.record().rest = rest;
        Ok(())
    }

    fn modify_before_attempt_completion(
        &self,
        context: &mut FinalizerInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response().filter(|response| response.status().is_success());
        let Some((answer, body)) = answer.and_then(|answer| Some((answer, answer.body().bytes()?))) else {
            return Ok(());
        };
        // EKS answers in JSON, whose end the SDK requires; a page in HTML is no answer of AWS.
        let is_html = answer.headers().get("content-type").is_some_and(|kind| kind.contains("html"));
        if body.trim_ascii_start().starts_with(b"<")
            && !is_html
            && let Err(error) = check_xml(body)
            && let Some(output) = context.output_or_error_mut()
        {
            *output = Err(OrchestratorError::response(error.into()));
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut record = self.record();
        record.count += 1;
        let error = context.output_or_error().and_then(Result::err);
        record.last_error = match (error, context.response()) {
            (None, _) => None,
            // Its status is that of an answer, which did not end.
            (Some(error), Some(_)) if error.is_response_error() => Some(causes(error)),
            (Some(_), Some(response)) => Some(format!("HTTP status {}", response.status().as_u16())),
            (Some(error), None) => error.as_connector_error().map(|error| causes(error)),
        };
        if self.keeps_body
            && let Some(bytes) = context.response().and_then(|response| response.body().bytes())
        {
            record.body = bytes.to_vec();
        }
        Ok(())
    }
}

/// Passes on the items of all pages of an answer, each page as soon as it is there. The
/// time-out is for all pages together.
macro_rules! pages {
    ($client:expr, $operation:expr, $request:expr, $items:ident, $pass_on:expr) => {{
        let attempts = $crate::collect::aws::paging::Attempts::in_region(&$client.region);
        let timeout = $client.timeout;
        let no_list = || $crate::collect::aws::failure::Failure::no_list(stringify!($items));
        let all = async {
            let (mut pages, mut count) = (0, 0);
            let mut token = None;
            loop {
                let request = $request.clone().set_next_token(token.clone()).customize();
                let page = request.interceptor(attempts.clone()).send().await;
                let mut page = page.map_err(|error| attempts.failure(&error, timeout))?;
                let next = page.next_token.take().filter(|token| !token.is_empty());
                let mut rest = attempts.take_rest();
                loop {
                    for item in page.$items.ok_or_else(no_list)? {
                        $pass_on(item)?;
                        count += 1;
                    }
                    // A type of the same operation as the page.
                    page = match rest.as_mut().and_then(|rest| rest.next(&$operation)) {
                        Some(part) => part?,
                        None => break,
                    };
                }
                let Some(next) = next else { return Ok(()) };
                pages += 1;
                if token.as_ref() == Some(&next)
                    || pages >= $crate::collect::aws::answer::PAGES_MAX
                    || count > $crate::collect::aws::answer::ITEMS_MAX
                {
                    return Err($crate::collect::aws::failure::Failure::malformed("its pages do not end"));
                }
                token = Some(next);
            }
        };
        match tokio::time::timeout(timeout, all).await {
            Ok(result) => result,
            Err(_) => Err(attempts.timed_out(timeout)),
        }
    }};
}
pub(super) use pages;

/// Logs how a request ended.
pub(super) fn log<T>(action: &str, began: Instant, result: &Result<T, Failure>) {
    let ms = began.elapsed().as_millis();
    match result {
        Ok(_) => debug!(action, ms, "answered"),
        Err(failure) => debug!(action, ms, failure = failure.detail, "failed"),
    }
}
