//! The credential sources that the SDK reads over HTTP: the instance metadata service (IMDS), the container
//! credentials endpoint, and the access portal of IAM Identity Center.
//!
//! - <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>
//! - <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
//! - <https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html>

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::http::{Request, Response, read_request};
use crate::listen::TcpServer;

/// The access key of the instance role, served by IMDS.
pub const INSTANCE_KEY: &str = "AKIDINSTANCE";
/// The access key of the container's role, served at `/container`.
pub const CONTAINER_KEY: &str = "AKIDCONTAINER";
/// The access key of the role that the access portal issues credentials for.
pub const PORTAL_KEY: &str = "AKIDPORTAL";
/// The access token that the access portal accepts.
pub const PORTAL_TOKEN: &str = "portal-access-token";

/// The session token that IMDS issues, and requires in every later request.
const IMDS_TOKEN: &str = "imds-session-token";

/// A server for all three sources on one address. It stops when it is dropped.
#[derive(Debug)]
pub struct CredentialServer {
    address: SocketAddr,
    _server: TcpServer,
}

impl CredentialServer {
    /// Serves on a free port of 127.0.0.1. `region` is the region that IMDS reports.
    ///
    /// # Errors
    ///
    /// No socket can be bound.
    pub fn serve(region: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let server = TcpServer::start(listener, move |stream| serve_connection(stream, region))?;
        Ok(Self { address, _server: server })
    }

    /// The server's base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve_connection(stream: &TcpStream, region: &str) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread)? {
        respond(&request, region).send(&mut stream)?;
    }
    Ok(())
}

fn respond(request: &Request, region: &str) -> Response {
    let expires = Timestamp::now().saturating_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    let role_credentials = |key: &str| {
        json!({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
            "AccessKeyId": key, "SecretAccessKey": "secret", "Token": "token", "Expiration": format!("{expires:.0}"),
        })
    };
    let (method, path) = (request.method.as_str(), request.path.as_str());
    let has_imds_token = request.header("x-aws-ec2-metadata-token") == Some(IMDS_TOKEN);
    match (method, path.strip_prefix("/latest/meta-data/")) {
        ("GET", Some(_)) if !has_imds_token => response(401, String::new()),
        ("GET", Some("placement/region")) => response(200, region.to_owned()),
        ("GET", Some("iam/security-credentials/")) => response(200, "node".to_owned()),
        ("GET", Some("iam/security-credentials/node")) => {
            response(200, role_credentials(INSTANCE_KEY).to_string())
        }
        ("PUT", None) if path == "/latest/api/token" => Response {
            headers: vec![("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned())],
            ..response(200, IMDS_TOKEN.to_owned())
        },
        ("GET", None) if path == "/container" => response(200, role_credentials(CONTAINER_KEY).to_string()),
        ("GET", None) if path == "/federation/credentials" => {
            if request.header("x-amz-sso_bearer_token") != Some(PORTAL_TOKEN) {
                return response(401, json!({ "message": "Session token not found or invalid" }).to_string());
            }
            let credentials = json!({
                "accessKeyId": PORTAL_KEY, "secretAccessKey": "secret", "sessionToken": "token",
                "expiration": expires.as_millisecond(),
            });
            response(200, json!({ "roleCredentials": credentials }).to_string())
        }
        _ => response(404, String::new()),
    }
}

fn response(status: u16, body: String) -> Response {
    let content_type = if body.starts_with('{') { "application/json" } else { "text/plain" };
    Response { status, content_type, headers: Vec::new(), body }
}
