//! STS: the caller's identity, and credentials of assumed roles.

use jiff::{SignedDuration, Timestamp};

use super::account::Account;
use super::call::{Call, ROLE_KEY_PREFIX};
use super::error::ApiError;
use super::xml::{CONTENT_TYPE, PROLOGUE, STS_NAMESPACE, escape};
use crate::http::Response;

/// The access key ID of an assumed role, which contains the role's account ID.
pub(super) fn access_key(role: &str) -> String {
    format!("{ROLE_KEY_PREFIX}{}", role.split(':').nth(4).unwrap_or_default())
}

/// Responds to a call.
pub(super) fn respond(account: &Account, call: &Call, request_id: &str) -> Result<Response, ApiError> {
    let result = match call.operation.as_str() {
        "AssumeRole" | "AssumeRoleWithWebIdentity" => assume_role(call)?,
        _ => get_caller_identity(account, call),
    };
    let operation = &call.operation;
    let body = format!(
        "{PROLOGUE}<{operation}Response xmlns=\"{STS_NAMESPACE}\"><{operation}Result>{result}\
         </{operation}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\
         </{operation}Response>"
    );
    Ok(Response { status: 200, content_type: CONTENT_TYPE, headers: Vec::new(), body })
}

fn get_caller_identity(account: &Account, call: &Call) -> String {
    let id = &account.id;
    let (arn, user) = if call.account().is_some() {
        (format!("arn:aws:sts::{id}:assumed-role/lab/session"), "AROALABROLE0000000000:session")
    } else {
        (format!("arn:aws:iam::{id}:user/operator"), "AIDALABOPERATOR000000")
    };
    format!("<Arn>{}</Arn><UserId>{user}</UserId><Account>{}</Account>", escape(&arn), escape(id))
}

fn assume_role(call: &Call) -> Result<String, ApiError> {
    let require = |name: &str| {
        call.parameter(name).ok_or_else(|| {
            ApiError::new(
                400,
                "ValidationError",
                format!("Value null at '{name}' failed to satisfy constraint"),
            )
        })
    };
    let (role, session) = (require("RoleArn")?, require("RoleSessionName")?);
    let assumed =
        format!("{}/{session}", role.replacen(":iam:", ":sts:", 1).replacen(":role/", ":assumed-role/", 1));
    let expiration = Timestamp::now().saturating_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    Ok(format!(
        "<AssumedRoleUser><AssumedRoleId>AROALABROLE0000000000:{}</AssumedRoleId><Arn>{}</Arn>\
         </AssumedRoleUser><Credentials><AccessKeyId>{}</AccessKeyId>\
         <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
         <Expiration>{expiration}</Expiration></Credentials>",
        escape(session),
        escape(&assumed),
        escape(&access_key(role))
    ))
}
