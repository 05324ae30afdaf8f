//! HTTP/1.1, as much as the SDKs' clients speak.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// No client's header should need more.
const MAX_HEADERS: usize = 64;

/// A request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path as it came, still percent-encoded.
    pub(crate) path: String,
    /// What followed the path's `?`.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header's value, its name written in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// Headers besides the content's type and length.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Response {
    /// The response's head, with the body's length.
    pub(crate) fn head(&self) -> String {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        head
    }

    /// Sends head and body in one write: in two, the client's delayed acknowledgement of the first costs 40
    /// ms.
    pub(crate) fn send(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all((self.head() + &self.body).as_bytes())
    }
}

/// The next request of a connection; `None` when the client closed it. `unread` holds what has been received
/// and belongs to no request yet.
pub(crate) fn receive(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<Request>> {
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

fn read_more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 16 * 1024];
    let length = stream.read(&mut chunk)?;
    unread.extend_from_slice(&chunk[..length]);
    Ok(length)
}

/// A request's head and its length in bytes, when all of it has come.
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

/// The body's length. The SDKs know it beforehand: a chunked body is not understood.
fn content_length(request: &Request) -> io::Result<usize> {
    let unclear = || io::Error::new(io::ErrorKind::InvalidData, "the body's length is not known");
    match request.header("content-length") {
        Some(length) => length.trim().parse().map_err(|_| unclear()),
        None if request.header("transfer-encoding").is_some() => Err(unclear()),
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
    fn a_head_is_parsed_once_it_is_complete() {
        let bytes = b"POST /a%20b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
        assert!(parse_head(&bytes[..20]).expect("half a head is no error").is_none());
        let (request, length) = parse_head(bytes).expect("a good head").expect("a whole head");
        assert_eq!(
            (request.method.as_str(), request.path.as_str(), request.query.as_str()),
            ("POST", "/a%20b", "c=d")
        );
        assert_eq!(request.header("HOST"), Some("x"));
        assert_eq!(content_length(&request).expect("a number"), 3);
        assert_eq!(&bytes[length..], b"abc");
    }

    #[test]
    fn a_body_of_unknown_length_is_refused() {
        let (request, _) = parse_head(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            .expect("a good head")
            .expect("a whole head");
        assert!(content_length(&request).is_err());
    }
}
