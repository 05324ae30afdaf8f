//! API errors, in the wire format of each service.

use serde_json::json;

use super::call::Service;
use super::xml;
use crate::http::Response;

/// An error response of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// The response in the wire format of `service`.
    pub(super) fn response(&self, service: Service, request_id: &str) -> Response {
        let code = xml::escape(&self.code);
        let message = xml::escape(&self.message);
        let body = match service {
            Service::Eks | Service::Ssm => return self.json_response(request_id),
            Service::Ec2 => format!(
                "{}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
                 <RequestID>{request_id}</RequestID></Response>",
                xml::PROLOGUE
            ),
            Service::S3 => format!(
                "{}<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>",
                xml::PROLOGUE
            ),
            Service::Sts => format!(
                "{}<ErrorResponse xmlns=\"{}\"><Error><Type>Sender</Type><Code>{code}</Code>\
                 <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
                xml::PROLOGUE,
                xml::STS_NAMESPACE
            ),
        };
        Response { status: self.status, content_type: xml::CONTENT_TYPE, headers: Vec::new(), body }
    }

    fn json_response(&self, request_id: &str) -> Response {
        Response {
            status: self.status,
            content_type: "application/json",
            headers: vec![
                ("x-amzn-ErrorType", self.code.clone()),
                ("x-amzn-RequestId", request_id.to_owned()),
            ],
            body: json!({ "message": self.message }).to_string(),
        }
    }
}
