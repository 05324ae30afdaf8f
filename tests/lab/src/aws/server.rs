//! Accepts connections and dispatches requests to the services.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::account::Account;
use super::call::{Call, Service, authenticate};
use super::fault::{Fault, FaultKind, Faults};
use super::s3::S3;
use super::ssm::Ssm;
use super::{ec2, eks, sts};
use crate::http::{Request, Response, read_request};
use crate::listen::{TcpServer, bind_in, lock};

/// The page of a captive portal.
const CAPTIVE_PORTAL: &str = "<!DOCTYPE html>\n<html><head><title>Guest network</title></head>\
                      <body><p>Please sign in to use this network.</p></body></html>\n";

/// The start of a response whose body has no length and ends only with the connection.
const ENDLESS_RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\nconnection: close\r\n\r\n<?xml version=\"1.0\"?>";

/// The API server. Dropping it stops it and closes all connections.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    state: Arc<State>,
    _server: TcpServer,
}

/// The state that the connections' threads share.
#[derive(Debug)]
struct State {
    account: Mutex<Arc<Account>>,
    /// The data of further accounts and regions, by `ACCOUNT/REGION`.
    others: Mutex<BTreeMap<String, Arc<Account>>>,
    faults: Mutex<Faults>,
    calls: Mutex<Vec<Call>>,
    ssm: Ssm,
}

impl State {
    /// The data for a call's account and region, by default that of the main account.
    fn account_for(&self, call: &Call) -> Arc<Account> {
        let main = Arc::clone(&lock(&self.account));
        let region = call.region.as_deref().unwrap_or_default();
        let key = format!("{}/{region}", call.account().unwrap_or(&main.id));
        lock(&self.others).get(&key).map_or(main, Arc::clone)
    }
}

impl Api {
    /// Serves on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// No socket can be bound.
    pub fn serve(account: Account) -> io::Result<Self> {
        Self::start(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, account)
    }

    /// Serves on `address` in the network namespace that the file `netns` refers to.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or the address cannot be bound in it.
    pub fn serve_in(netns: &Path, address: SocketAddr, account: Account) -> io::Result<Self> {
        Self::start(bind_in(netns, || TcpListener::bind(address))?, account)
    }

    fn start(listener: TcpListener, account: Account) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            account: Mutex::new(Arc::new(account)),
            others: Mutex::default(),
            faults: Mutex::default(),
            calls: Mutex::default(),
            ssm: Ssm::default(),
        });
        let shared = Arc::clone(&state);
        let server = TcpServer::start(listener, move |stream| serve_connection(stream, &shared))?;
        Ok(Self { address, state, _server: server })
    }

    /// The address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Systems Manager, which is the same in all accounts and regions.
    #[must_use]
    pub fn ssm(&self) -> &Ssm {
        &self.state.ssm
    }

    /// The buckets, to which the nodes of Systems Manager write.
    #[must_use]
    pub fn s3(&self) -> &S3 {
        self.state.ssm.s3()
    }

    /// The calls received so far, in order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.state.calls).clone()
    }

    /// Replaces the main account, which serves all calls that no other account is set for.
    pub fn set_account(&self, account: Account) {
        *lock(&self.state.account) = Arc::new(account);
    }

    /// Sets the data that serves the calls to one region of an account: the main account or that of a role.
    pub fn set_account_in(&self, region: &str, account: Account) {
        lock(&self.state.others).insert(format!("{}/{region}", account.id), Arc::new(account));
    }

    /// Updates the main account atomically.
    pub fn update_account(&self, update: impl FnOnce(&mut Account)) {
        update(Arc::make_mut(&mut lock(&self.state.account)));
    }

    /// Adds a fault after those already injected.
    pub fn inject_fault(&self, fault: Fault) {
        lock(&self.state.faults).add(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        lock(&self.state.faults).clear();
    }
}

/// Serves the requests of a connection in sequence.
fn serve_connection(stream: &TcpStream, state: &State) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread)? {
        let call = Call::from_request(&request);
        let number = {
            let mut calls = lock(&state.calls);
            calls.push(call.clone());
            calls.len()
        };
        let (delay, fault) = lock(&state.faults).next(&call);
        let account = state.account_for(&call);
        match fault {
            Some(fault) if fault.error(&call, &account).is_none() => {
                thread::sleep(delay);
                let response = |call: &Call| respond(&request, call, None, &account, state, number);
                if fault == FaultKind::EndlessPages {
                    endless_page(&call, &format!("lab-{number}"), response).send(&mut stream)?;
                    continue;
                }
                return serve_fault(&mut stream, &fault, || response(&call));
            }
            fault => {
                let response = respond(&request, &call, fault.as_ref(), &account, state, number);
                // The time spent on the response counts towards the delay.
                thread::sleep(delay.saturating_sub(call.received_at.elapsed()));
                response.send(&mut stream)?;
            }
        }
    }
    Ok(())
}

/// The response to a call: a fault's error, or the account's data.
fn respond(
    request: &Request,
    call: &Call,
    fault: Option<&FaultKind>,
    account: &Account,
    state: &State,
    number: usize,
) -> Response {
    let request_id = format!("00000000-0000-4000-8000-{number:012}");
    if let Some(error) = fault.and_then(|fault| fault.error(call, account)) {
        return error.response(call.service, &request_id);
    }
    // A call with a web identity token is not signed.
    let authenticated = match call.operation.as_str() {
        "AssumeRoleWithWebIdentity" => Ok(()),
        _ => authenticate(request, call.service),
    };
    authenticated
        .and_then(|()| match call.service {
            Service::Eks => eks::respond(account, call),
            Service::Ec2 => ec2::respond(account, call, &request_id),
            Service::Ssm => state.ssm.respond(call),
            Service::Sts => sts::respond(account, call, &request_id),
            Service::S3 => state.ssm.s3().respond(request, call),
        })
        .unwrap_or_else(|error| error.response(call.service, &request_id))
}

/// The first page of a list, with the token of another page.
fn endless_page(call: &Call, token: &str, respond: impl Fn(&Call) -> Response) -> Response {
    let mut first = call.clone();
    first.parameters.retain(|name, _| !name.eq_ignore_ascii_case("nextToken"));
    let mut response = respond(&first);
    let end = format!("</{}Response>", call.operation);
    response.body = match response.body.strip_suffix(&end) {
        Some(list) => format!("{list}<nextToken>{token}</nextToken>{end}"),
        None => response.body.replace("\"nextToken\":null", &format!("\"nextToken\":\"{token}\"")),
    };
    response
}

/// Serves a fault that is not an error response; the caller then closes the connection.
fn serve_fault(
    stream: &mut TcpStream,
    fault: &FaultKind,
    regular_response: impl FnOnce() -> Response,
) -> io::Result<()> {
    match fault {
        FaultKind::Html => {
            let headers = vec![("connection", "close".to_owned())];
            Response { status: 200, content_type: "text/html", headers, body: CAPTIVE_PORTAL.to_owned() }
                .send(stream)
        }
        FaultKind::TruncatedBody => {
            let response = regular_response();
            let half = &response.body.as_bytes()[..response.body.len() / 2];
            stream.write_all(&[response.head().as_bytes(), half].concat())
        }
        FaultKind::Cut { thousandths } => {
            let response = regular_response();
            let sent = &response.body.as_bytes()[..response.body.len() * thousandths / 1000];
            stream.write_all(&[response.head_without_length().as_bytes(), sent].concat())
        }
        FaultKind::Body(body) => Response { body: body.clone(), ..regular_response() }.send(stream),
        FaultKind::NoResponse => io::copy(&mut stream.take(u64::MAX), &mut io::sink()).map(|_| ()),
        FaultKind::EndlessBody | FaultKind::SlowBody => {
            stream.write_all(ENDLESS_RESPONSE)?;
            loop {
                stream.write_all(&[b' '; 16 * 1024])?;
                if *fault == FaultKind::SlowBody {
                    thread::sleep(Duration::from_millis(10));
                }
            }
        }
        // `Close`. Errors and delays never get here.
        _ => Ok(()),
    }
}
