//! The answers of S3 without an object.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use std::borrow::Cow;

use aws_smithy_runtime_api::client::result::ConnectorError;
use xmlparser::{ElementEnd, Token, Tokenizer};

use super::endpoint::Object;
use crate::collect::aws::cause::{TEXT_MAX, find};
use crate::collect::aws::failure::{Failure, service_failure};
use crate::collect::aws::http::Final;
use crate::collect::aws::region::is_region;
use crate::evidence::aws::ssm::SSM_OUTPUT_POLICY;
use crate::model::gap::GapReason;
use crate::model::text::cut;

/// The largest error that is read.
const ERROR_MAX: usize = 64 << 10;

/// Why there is no object, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The bucket is in this other region; the failure is for where that does not help.
    Moved(String, Failure),
    /// It may be there later.
    Later(Failure),
    /// It is denied; or it does not exist, and may be there later.
    Denied(Failure),
    /// A repetition would not help.
    Final(Failure),
}

impl Refusal {
    /// A request without an answer.
    pub(super) fn not_sent(error: &ConnectorError, region: &str) -> Self {
        match find::<Final>(error) {
            Some(Final::TooLarge { max, .. }) => {
                let detail = format!("the object has more than {max} MiB");
                let failure = Failure::new(GapReason::TooMuchOutput, detail);
                Self::Final(failure.with_next("read the node by another of --nodes, such as ssh"))
            }
            Some(_) => Self::Final(Failure::of_connector(error, region)),
            None => Self::Later(Failure::of_connector(error, region)),
        }
    }
}

/// What an answer says that has no object. `of_bucket` is the region of the bucket, where the
/// answer names it.
pub(super) fn refusal(
    status: u16,
    of_bucket: Option<&str>,
    body: &[u8],
    region: &str,
    object: Object<'_>,
) -> Refusal {
    let Object { bucket, key } = object;
    let error = ErrorBody::parse(body);
    let code = error.code.as_deref();
    let message = error.message.as_deref().unwrap_or_default();
    let failure = service_failure(code, error.message.as_deref(), status);
    let with = |why, next: String| Failure::new(why, failure.detail.clone()).with_next(next);
    let mentions = |action: &str| message.contains(action);
    match (code, status) {
        (
            Some("PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "Redirect"),
            _,
        )
        | (None, 301 | 307) => {
            let other = of_bucket.or(error.region.as_deref());
            match other.filter(|other| is_region(other) && *other != region) {
                Some(other) => {
                    let detail = format!(
                        "the bucket {bucket} is in the region {other}, and its answer there names another"
                    );
                    Refusal::Moved(other.to_owned(), Failure::new(GapReason::Failed, detail))
                }
                None if code.is_some() => {
                    let next = format!(
                        "is the bucket in another region? aws s3api get-bucket-location --bucket {bucket}"
                    );
                    Refusal::Final(with(failure.why, next))
                }
                None => Refusal::Final(failure),
            }
        }
        (Some("NoSuchKey"), _) => Refusal::Later(with(
            GapReason::NotFound,
            format!(
                "allow the role of the node s3:PutObject on arn:aws:s3:::{bucket}/*: its agent writes the object; or pass a longer --timeout"
            ),
        )),
        (Some("NoSuchBucket"), _) => Refusal::Final(with(
            GapReason::NotFound,
            "pass the name of a bucket that exists with --ssm-output".to_owned(),
        )),
        (Some("AccessDenied"), _) if mentions("kms:") => Refusal::Final(with(
            GapReason::AccessDenied,
            format!("allow kms:Decrypt on the key that encrypts the bucket {bucket}, in its key policy too"),
        )),
        // It may be there, and may be requested then.
        (Some("AccessDenied"), _) if mentions("s3:ListBucket") => Refusal::Later(with(
            GapReason::NotFound,
            format!(
                "the node has not written the object: allow its role s3:PutObject on arn:aws:s3:::{bucket}/*"
            ),
        )),
        (Some("AccessDenied"), _) if mentions("s3:") => Refusal::Final(with(
            GapReason::AccessDenied,
            format!(
                "allow s3:GetObject on arn:aws:s3:::{bucket}/{key}; `{SSM_OUTPUT_POLICY}` prints what this needs"
            ),
        )),
        (Some("AccessDenied"), _) => Refusal::Denied(with(
            GapReason::AccessDenied,
            format!(
                "allow s3:GetObject and s3:ListBucket: `{SSM_OUTPUT_POLICY}` prints what this needs; and allow the role of the node s3:PutObject: without s3:ListBucket, S3 denies an object that does not exist as well"
            ),
        )),
        (Some(code), _) if code.starts_with("KMS.") => Refusal::Final(with(
            GapReason::Failed,
            format!(
                "check the KMS key that encrypts the bucket: aws s3api get-bucket-encryption --bucket {bucket}"
            ),
        )),
        (_, 429 | 500..) | (Some("RequestTimeout"), _) => Refusal::Later(failure),
        _ => Refusal::Final(failure),
    }
}

/// What the body of an error names.
#[derive(Debug, Default)]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
    region: Option<String>,
}

impl ErrorBody {
    fn parse(body: &[u8]) -> Self {
        let mut error = Self::default();
        let text = String::from_utf8_lossy(&body[..body.len().min(ERROR_MAX)]);
        let mut open = Vec::new();
        for token in Tokenizer::from(&*text) {
            match token {
                Ok(Token::ElementStart { local, .. }) => open.push(local.as_str()),
                Ok(Token::ElementEnd { end: ElementEnd::Close(..) | ElementEnd::Empty, .. }) => {
                    open.pop();
                }
                Ok(Token::Text { text }) => {
                    let field = match open[..] {
                        ["Error", "Code"] => &mut error.code,
                        ["Error", "Message"] => &mut error.message,
                        ["Error", "Region"] => &mut error.region,
                        _ => continue,
                    };
                    *field = Some(cut(&unescaped(text.as_str()), TEXT_MAX).into_owned());
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        error
    }
}

/// A text of XML without its entities.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    Cow::Owned(entities.into_iter().fold(text.to_owned(), |text, (entity, char)| text.replace(entity, char)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: Object<'static> = Object { bucket: "bucket", key: "p/k" };

    fn answer(status: u16, code: &str, message: &str, rest: &str) -> Refusal {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{rest}</Error>"
        );
        refusal(status, None, body.as_bytes(), "eu-west-1", OBJECT)
    }

    /// What follows from an answer, its reason and its next step: `None` for a request that is
    /// repeated for some time, and whether it is the last one otherwise.
    fn follows(status: u16, code: &str, message: &str) -> (Option<bool>, GapReason, String) {
        let (is_final, failure) = match answer(status, code, message, "") {
            Refusal::Final(failure) => (Some(true), failure),
            Refusal::Later(failure) => (Some(false), failure),
            Refusal::Denied(failure) => (None, failure),
            Refusal::Moved(..) => panic!("{code} names no region"),
        };
        assert!(failure.detail.starts_with(code) && !failure.detail.contains("&quot;"), "{}", failure.detail);
        (is_final, failure.why, failure.hint("s3:GetObject"))
    }

    /// The messages are those of S3.
    #[test]
    fn a_denied_object_may_be_one_that_is_not_there_yet() {
        let denied = |what: &str| {
            format!(
                "User: arn:aws:iam::111122223333:user/u is not authorized to perform: {what} on resource: &quot;arn:aws:s3:::bucket/p/k&quot; because no identity-based policy allows the {what} action"
            )
        };
        for (message, is_final, why, hint) in [
            ("Access Denied".to_owned(), None, GapReason::AccessDenied, "s3:ListBucket"),
            (denied("s3:GetObject"), Some(true), GapReason::AccessDenied, "arn:aws:s3:::bucket/p/k"),
            (denied("s3:ListBucket"), Some(false), GapReason::NotFound, "s3:PutObject"),
            (denied("kms:Decrypt"), Some(true), GapReason::AccessDenied, "kms:Decrypt on the key"),
        ] {
            let found = follows(403, "AccessDenied", &message);
            assert_eq!((found.0, found.1), (is_final, why), "{message}");
            assert!(found.2.contains(hint), "{message}: {}", found.2);
        }
    }

    #[test]
    fn each_refusal_has_its_next_step() {
        for (status, code, is_final, why, hint) in [
            (400, "KMS.DisabledException", true, GapReason::Failed, "get-bucket-encryption"),
            (404, "NoSuchKey", false, GapReason::NotFound, "s3:PutObject"),
            (404, "NoSuchBucket", true, GapReason::NotFound, "--ssm-output"),
            (503, "SlowDown", false, GapReason::Failed, "try again"),
            (403, "InvalidAccessKeyId", true, GapReason::NoCredentials, "get-caller-identity"),
            (400, "ExpiredToken", true, GapReason::NoCredentials, "log in again"),
            (403, "RequestTimeTooSkewed", true, GapReason::NoCredentials, "clock"),
            (301, "PermanentRedirect", true, GapReason::Failed, "get-bucket-location"),
        ] {
            let found = follows(status, code, "a message");
            assert_eq!((found.0, found.1), (Some(is_final), why), "{code}");
            assert!(found.2.contains(hint), "{code}: {}", found.2);
        }
    }

    #[test]
    fn the_region_of_a_bucket_is_followed_where_it_is_one() {
        let moved = |refusal: Refusal| match refusal {
            Refusal::Moved(region, _) => Some(region),
            _ => None,
        };
        let malformed = |region: &str| {
            answer(
                400,
                "AuthorizationHeaderMalformed",
                "the region is wrong",
                &format!("<Region>{region}</Region>"),
            )
        };
        assert_eq!(moved(malformed("us-east-2")).as_deref(), Some("us-east-2"));
        for region in ["", "eu-west-1", "evil.example/", "a@b", &"x".repeat(64)] {
            assert_eq!(moved(malformed(region)), None, "{region}");
        }
        let by_header =
            |status, body: &[u8]| moved(refusal(status, Some("us-east-2"), body, "eu-west-1", OBJECT));
        assert_eq!(by_header(301, b"").as_deref(), Some("us-east-2"));
        assert_eq!(
            by_header(307, b"<Error><Code>TemporaryRedirect</Code></Error>").as_deref(),
            Some("us-east-2")
        );
        // Every answer of S3 may have the header.
        assert_eq!(by_header(403, b"<Error><Code>AccessDenied</Code></Error>"), None);
    }

    #[test]
    fn an_answer_of_another_server_is_not_that_of_s3() {
        for body in [&b"<html><body>Not Found</body></html>"[..], b"", b"<Error><Code>", &[0xff; 9]] {
            let Refusal::Final(failure) = refusal(404, None, body, "eu-west-1", OBJECT) else { panic!() };
            assert_eq!(failure.why, GapReason::Malformed);
        }
    }
}
