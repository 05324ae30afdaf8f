//! Threads and sockets, and one request's way to its answer.

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
use super::{ec2, eks, sts};
use crate::http::{Request, Response, receive};
use crate::listen::{TcpServer, bind_in, lock};

/// What a captive portal answers.
const PORTAL: &str = "<!DOCTYPE html>\n<html><head><title>Guest network</title></head>\
                      <body><p>Please sign in to use this network.</p></body></html>\n";

/// How an endless body begins: only the connection's end would be its end.
const ENDLESS: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\nconnection: close\r\n\r\n<?xml version=\"1.0\"?>";

/// The API's server. It stops when it is dropped, and so do the calls that are under way.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    state: Arc<State>,
    _server: TcpServer,
}

/// What the threads share.
#[derive(Debug)]
struct State {
    account: Mutex<Arc<Account>>,
    /// Other accounts and regions, by `ACCOUNT/REGION`.
    places: Mutex<BTreeMap<String, Arc<Account>>>,
    faults: Mutex<Faults>,
    journal: Mutex<Vec<Call>>,
}

impl State {
    /// The account and region that a call asks.
    fn asked(&self, call: &Call) -> Arc<Account> {
        let usual = Arc::clone(&lock(&self.account));
        let region = call.region.as_deref().unwrap_or_default();
        let place = format!("{}/{region}", call.account().unwrap_or(&usual.id));
        lock(&self.places).get(&place).map_or(usual, Arc::clone)
    }
}

impl Api {
    /// Serves on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// No socket can be had.
    pub fn serve(account: Account) -> io::Result<Self> {
        Self::start(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, account)
    }

    /// Serves on `address` in the network namespace that the file `netns` stands for.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or the address not be bound there.
    pub fn serve_in(netns: &Path, address: SocketAddr, account: Account) -> io::Result<Self> {
        Self::start(bind_in(netns, || TcpListener::bind(address))?, account)
    }

    fn start(listener: TcpListener, account: Account) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            account: Mutex::new(Arc::new(account)),
            places: Mutex::default(),
            faults: Mutex::default(),
            journal: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let server = TcpServer::start(listener, move |stream| converse(stream, &shared))?;
        Ok(Self { address, state, _server: server })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls so far, in the order they arrived.
    #[must_use]
    pub fn journal(&self) -> Vec<Call> {
        lock(&self.state.journal).clone()
    }

    /// Answers from another account from now on.
    pub fn set(&self, account: Account) {
        *lock(&self.state.account) = Arc::new(account);
    }

    /// Answers for another region, or the region of a role's account, from now on.
    pub fn set_in(&self, region: &str, account: Account) {
        lock(&self.state.places).insert(format!("{}/{region}", account.id), Arc::new(account));
    }

    /// Changes the account; no call sees it half changed.
    pub fn change(&self, change: impl FnOnce(&mut Account)) {
        change(Arc::make_mut(&mut lock(&self.state.account)));
    }

    /// Lets calls go wrong from now on, after the faults that were ordered before.
    pub fn fault(&self, fault: Fault) {
        lock(&self.state.faults).add(fault);
    }

    /// Lets all calls go well again.
    pub fn clear_faults(&self) {
        lock(&self.state.faults).clear();
    }
}

/// Answers one request after the other.
fn converse(stream: &TcpStream, state: &State) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(request) = receive(&mut stream, &mut unread)? {
        let call = Call::from_request(&request);
        let number = {
            let mut journal = lock(&state.journal);
            journal.push(call.clone());
            journal.len()
        };
        let (delay, fault) = lock(&state.faults).next(&call);
        let account = state.asked(&call);
        match fault {
            Some(fault) if fault.error(&call, &account).is_none() => {
                thread::sleep(delay);
                return misbehave(&mut stream, &fault, || answer(&request, &call, None, &account, number));
            }
            fault => {
                let answer = answer(&request, &call, fault.as_ref(), &account, number);
                // The time that it took to write is part of the delay.
                thread::sleep(delay.saturating_sub(call.at.elapsed()));
                answer.send(&mut stream)?;
            }
        }
    }
    Ok(())
}

/// The response to a call: the error that a fault stands for, or what the account says.
fn answer(
    request: &Request,
    call: &Call,
    fault: Option<&FaultKind>,
    account: &Account,
    number: usize,
) -> Response {
    let request_id = format!("00000000-0000-4000-8000-{number:012}");
    if let Some(error) = fault.and_then(|fault| fault.error(call, account)) {
        return error.response(call.service, &request_id);
    }
    // Who has a token of somebody else's has no key to sign with yet.
    let authenticated = match call.operation.as_str() {
        "AssumeRoleWithWebIdentity" => Ok(()),
        _ => authenticate(request, call.service),
    };
    authenticated
        .and_then(|()| match call.service {
            Service::Eks => eks::answer(account, call),
            Service::Ec2 => ec2::answer(account, call, &request_id),
            Service::Sts => sts::answer(account, call, &request_id),
        })
        .unwrap_or_else(|error| error.response(call.service, &request_id))
}

/// Does what a fault says in the place of an answer; the connection is closed when it returns.
fn misbehave(stream: &mut TcpStream, fault: &FaultKind, right: impl FnOnce() -> Response) -> io::Result<()> {
    match fault {
        FaultKind::Html => {
            let headers = vec![("connection", "close".to_owned())];
            Response { status: 200, content_type: "text/html", headers, body: PORTAL.to_owned() }.send(stream)
        }
        FaultKind::CutShort => {
            let right = right();
            let half = &right.body.as_bytes()[..right.body.len() / 2];
            stream.write_all(&[right.head().as_bytes(), half].concat())
        }
        FaultKind::Silence => io::copy(&mut stream.take(u64::MAX), &mut io::sink()).map(|_| ()),
        FaultKind::Endless => {
            stream.write_all(ENDLESS)?;
            loop {
                stream.write_all(&[b' '; 16 * 1024])?;
                // Some 1.6 MB a second: enough to never end, too little to fill a machine.
                thread::sleep(Duration::from_millis(10));
            }
        }
        // Errors are answered, and a delay has passed: what is left is to close.
        _ => Ok(()),
    }
}
