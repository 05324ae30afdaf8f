//! Where credentials come from beside the environment, files and STS: the instance metadata service, a container's
//! agent, and the portal of IAM Identity Center.
//!
//! - <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>
//! - <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
//! - <https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html>

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::http::{Request, Response, receive};
use crate::listen::TcpServer;

/// The access key of the instance's role.
pub const INSTANCE_KEY: &str = "AKIDINSTANCE";
/// The access key of the container's role, at `/container`.
pub const CONTAINER_KEY: &str = "AKIDCONTAINER";
/// The access key of a role that is had by signing in.
pub const PORTAL_KEY: &str = "AKIDPORTAL";
/// What the portal takes for signed in.
pub const PORTAL_TOKEN: &str = "signed-in";

/// What the metadata service wants to see again.
const SESSION_TOKEN: &str = "of-the-session";

/// All of them, on one address. They stop when it is dropped.
#[derive(Debug)]
pub struct Metadata {
    address: SocketAddr,
    _server: TcpServer,
}

impl Metadata {
    /// Serves on a free port of 127.0.0.1, for an instance of a region.
    ///
    /// # Errors
    ///
    /// No socket can be had.
    pub fn serve(region: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let server = TcpServer::start(listener, move |stream| converse(stream, region))?;
        Ok(Self { address, _server: server })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn converse(stream: &TcpStream, region: &str) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    let mut unread = Vec::new();
    while let Some(request) = receive(&mut stream, &mut unread)? {
        answer(&request, region).send(&mut stream)?;
    }
    Ok(())
}

fn answer(request: &Request, region: &str) -> Response {
    let expires = Timestamp::now().saturating_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    let role = |key: &str| {
        json!({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
            "AccessKeyId": key, "SecretAccessKey": "secret", "Token": "token", "Expiration": format!("{expires:.0}"),
        })
    };
    let (method, path) = (request.method.as_str(), request.path.as_str());
    let is_session = request.header("x-aws-ec2-metadata-token") == Some(SESSION_TOKEN);
    match (method, path.strip_prefix("/latest/meta-data/")) {
        ("GET", Some(_)) if !is_session => respond(401, String::new()),
        ("GET", Some("placement/region")) => respond(200, region.to_owned()),
        ("GET", Some("iam/security-credentials/")) => respond(200, "node".to_owned()),
        ("GET", Some("iam/security-credentials/node")) => respond(200, role(INSTANCE_KEY).to_string()),
        ("PUT", None) if path == "/latest/api/token" => Response {
            headers: vec![("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned())],
            ..respond(200, SESSION_TOKEN.to_owned())
        },
        ("GET", None) if path == "/container" => respond(200, role(CONTAINER_KEY).to_string()),
        ("GET", None) if path == "/federation/credentials" => {
            if request.header("x-amz-sso_bearer_token") != Some(PORTAL_TOKEN) {
                return respond(401, json!({ "message": "Session token not found or invalid" }).to_string());
            }
            let credentials = json!({
                "accessKeyId": PORTAL_KEY, "secretAccessKey": "secret", "sessionToken": "token",
                "expiration": expires.as_millisecond(),
            });
            respond(200, json!({ "roleCredentials": credentials }).to_string())
        }
        _ => respond(404, String::new()),
    }
}

fn respond(status: u16, body: String) -> Response {
    let content_type = if body.starts_with('{') { "application/json" } else { "text/plain" };
    Response { status, content_type, headers: Vec::new(), body }
}
