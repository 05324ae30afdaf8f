//! EKS: REST, JSON.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::Account;
use super::call::{Call, PageToken};
use super::error::ApiError;
use super::select::paginate;
use crate::http::Response;

/// The maximum page size, and the default.
const MAX_PAGE_SIZE: usize = 100;

/// Responds to a call.
pub(super) fn respond(account: &Account, call: &Call) -> Result<Response, ApiError> {
    match call.operation.as_str() {
        "DescribeCluster" => describe_cluster(account, call.parameter("name").unwrap_or_default()),
        "ListClusters" => list_clusters(account, call),
        other => {
            let message = format!("{other} is not an operation of this API");
            Err(ApiError::new(404, "UnknownOperationException", message))
        }
    }
}

fn describe_cluster(account: &Account, name: &str) -> Result<Response, ApiError> {
    let Some(cluster) = account.clusters.get(name) else {
        let message = format!("No cluster found for name: {name}.");
        return Err(ApiError::new(404, "ResourceNotFoundException", message));
    };
    let mut cluster = cluster.clone();
    convert_timestamps(&mut cluster);
    Ok(response(&json!({ "cluster": cluster })))
}

fn list_clusters(account: &Account, call: &Call) -> Result<Response, ApiError> {
    let invalid = |message: &str| ApiError::new(400, "InvalidParameterException", message);
    let size = match call.parameter("maxResults").map(str::parse) {
        None => MAX_PAGE_SIZE,
        Some(Ok(size @ 1..=MAX_PAGE_SIZE)) => size,
        Some(_) => return Err(invalid("maxResults needs to be between 1 and 100.")),
    };
    let token = match call.parameter("nextToken").map(PageToken::parse) {
        None => None,
        Some(Some(token)) => Some(token),
        Some(None) => return Err(invalid("nextToken is not valid.")),
    };
    let names: Vec<&String> = account.clusters.keys().collect();
    let (names, next) = paginate(&names, size.min(account.page_size.unwrap_or(MAX_PAGE_SIZE)), token);
    Ok(response(&json!({ "clusters": names, "nextToken": next.map(PageToken::write) })))
}

fn response(body: &Value) -> Response {
    Response { status: 200, content_type: "application/json", headers: Vec::new(), body: body.to_string() }
}

/// Converts timestamps from the ISO 8601 that the aws CLI prints to the epoch seconds of the API.
fn convert_timestamps(cluster: &mut Value) {
    for pointer in ["/createdAt", "/connectorConfig/activationExpiry"] {
        let Some(time) = cluster.pointer_mut(pointer) else { continue };
        let seconds = time.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        if let Some(seconds) = seconds {
            *time = json!(seconds.as_duration().as_secs_f64());
        }
    }
}
