//! The subset of HTTP/1.1 that the AWS SDKs and kubectl use.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The maximum number of header fields in a request.
const MAX_HEADERS: usize = 64;

/// An HTTP request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path, still percent-encoded.
    pub(crate) path: String,
    /// The query string, without the `?`.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of the header `name`, compared case-insensitively.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// Headers in addition to `content-type` and `content-length`.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Response {
    /// The status line and the headers.
    pub(crate) fn head(&self) -> String {
        self.head_with(&format!("content-length: {}\r\n", self.body.len()))
    }

    /// The status line and the headers of a response whose body ends with the connection.
    pub(crate) fn head_without_length(&self) -> String {
        self.head_with("connection: close\r\n")
    }

    fn head_with(&self, length: &str) -> String {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: {}\r\n{length}",
            self.status,
            reason(self.status),
            self.content_type,
        );
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        head
    }

    /// Sends head and body in one write. With two writes, the client's delayed ACK of the first would add
    /// 40 ms.
    pub(crate) fn send(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all((self.head() + &self.body).as_bytes())
    }
}

/// Reads the next request from a connection; `None` when the client has closed it. `unread` holds the bytes
/// received beyond the previous request.
pub(crate) fn read_request(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some((mut request, head)) = parse_head(unread)? {
            let length = content_length(&request)?;
            while unread.len() < head + length {
                if read_more(stream, unread)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            request.body = unread[head..head + length].to_vec();
            unread.drain(..head + length);
            return Ok(Some(request));
        }
        if read_more(stream, unread)? == 0 {
            return Ok(None);
        }
    }
}

fn read_more(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 16 * 1024];
    let length = stream.read(&mut chunk)?;
    unread.extend_from_slice(&chunk[..length]);
    Ok(length)
}

/// Parses a request's head and returns it with its length in bytes; `None` while it is incomplete.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let status = head.parse(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    let target = head.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: head
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
            .collect(),
        body: Vec::new(),
    };
    Ok(Some((request, length)))
}

/// The length of the body. The SDKs always send `content-length`; chunked bodies are not supported.
fn content_length(request: &Request) -> io::Result<usize> {
    let unknown_length =
        || io::Error::new(io::ErrorKind::InvalidData, "the request has no valid content-length");
    match request.header("content-length") {
        Some(length) => length.trim().parse().map_err(|_| unknown_length()),
        None if request.header("transfer-encoding").is_some() => Err(unknown_length()),
        None => Ok(0),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_head_waits_for_the_complete_head() {
        let bytes = b"POST /a%20b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
        assert!(parse_head(&bytes[..20]).expect("an incomplete head is not an error").is_none());
        let (request, length) = parse_head(bytes).expect("a valid head").expect("a complete head");
        assert_eq!(
            (request.method.as_str(), request.path.as_str(), request.query.as_str()),
            ("POST", "/a%20b", "c=d")
        );
        assert_eq!(request.header("HOST"), Some("x"));
        assert_eq!(content_length(&request).expect("a number"), 3);
        assert_eq!(&bytes[length..], b"abc");
    }

    #[test]
    fn chunked_body_is_rejected() {
        let (request, _) = parse_head(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            .expect("a valid head")
            .expect("a complete head");
        assert!(content_length(&request).is_err());
    }
}
