//! The supervisor of the traced command: this program, executed once more as the parent of
//! the command. It ends with the command, and has its exit code. If the program that traces
//! is killed, even by SIGKILL, it ends the command and restores the terminal.
//!
//! On Linux, it is the parent of all descendants of the command whose own parents have ended.
//! After a SIGTERM it ends those that are left when the command has ended.
//!
//! Its standard input is a socket to that program. Over it comes the standard input of the
//! command, and goes the error of its start, or 0. The end of the socket is the end of
//! that program.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::cmsg_space;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Pid, Signal, WaitOptions, getpgid, getpgrp, kill_process_group, wait};

use super::terminal::Terminal;
use crate::cleanup::{self, Family};
use crate::signals;

/// The first argument of a supervisor.
const WORD: &str = "__supervise";

/// The path of this program. On Linux, it leads to it even if its file was replaced.
fn this_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { std::env::current_exe() }
}

/// The command line of the supervisor of a command, and the socket to it. The command
/// runs until the socket is closed.
pub(super) fn prepare(program: &OsStr, args: &[OsString]) -> io::Result<(Command, UnixStream)> {
    let (own, other) = UnixStream::pair()?;
    let mut command = Command::new(this_program()?);
    command.arg0("eks-netcheck").arg(WORD).arg(program).args(args).stdin(Stdio::from(OwnedFd::from(other)));
    Ok((command, own))
}

/// Waits until a supervisor has started its command, which gets the standard streams of
/// this process.
///
/// # Errors
/// If the command cannot be run.
pub(super) fn wait_for_start(mut socket: &UnixStream) -> io::Result<()> {
    send_stdin(socket)?;
    let mut answer = [0; 4];
    socket.read_exact(&mut answer)?;
    match i32::from_le_bytes(answer) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Sends the standard input of this process.
fn send_stdin(socket: &UnixStream) -> io::Result<()> {
    let stdin = io::stdin();
    let stdin = [stdin.as_fd()];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&stdin));
    sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Receives the standard input of the command.
fn receive_stdin(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket, &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::empty())?;
    let mut messages = control.drain();
    let stdin = messages.find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let stdin = stdin.ok_or(ErrorKind::UnexpectedEof)?;
    fcntl_setfd(&stdin, FdFlags::CLOEXEC)?;
    Ok(stdin)
}

/// Supervises a command, if that is what the arguments of this process say. Returns the
/// exit code of the command.
#[must_use]
pub fn supervise(mut args: impl Iterator<Item = OsString>) -> Option<u8> {
    if args.nth(1)? != WORD {
        return None;
    }
    let program = args.next()?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    // Fails if it was not started by this program, or if that has ended.
    let Ok(stdin) = receive_stdin(&socket) else { return Some(u8::MAX) };
    match run(&program, args, stdin) {
        Ok(command) => {
            // Fails if the program that traces has ended, which the thread finds out.
            let _ = socket.write_all(&0_i32.to_le_bytes());
            Some(command.wait(socket))
        }
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error());
            let _ = socket.write_all(&number.to_le_bytes());
            Some(u8::MAX)
        }
    }
}

/// The command of a supervisor.
struct Supervised {
    child: Child,
    id: Option<Pid>,
    terminal: Arc<Terminal>,
    /// Whether this process received a SIGTERM.
    terminated: Arc<AtomicBool>,
}

/// Runs the command.
fn run(program: &OsStr, args: impl Iterator<Item = OsString>, stdin: OwnedFd) -> io::Result<Supervised> {
    let terminated = signals::catch_terminations()?;
    // Where it is refused, and on other systems, a descendant may be left.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    cleanup::expect_descendants();
    let terminal = Arc::new(Terminal::save());
    let restored = Arc::clone(&terminal);
    cleanup::restore_terminal_by(Some(Box::new(move || restored.restore())));
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::from(stdin));
    let (child, id) = cleanup::start(Family::Descendants, || command.spawn(), |child| Some(child.id()))?;
    Ok(Supervised { child, id, terminal, terminated })
}

impl Supervised {
    /// Waits for the end of the command, and returns its exit code.
    fn wait(mut self, mut socket: UnixStream) -> u8 {
        let watch = thread::Builder::new().spawn(move || {
            // Nothing is sent: it returns at the end of the program that traces.
            let _ = socket.read(&mut [0]);
            cleanup::all();
            std::process::exit(i32::from(u8::MAX));
        });
        // Without the thread, the command may outlive that program.
        drop(watch);
        let status = self.child_status();
        // If the thread is ending all that was started, this waits for it.
        self.id.into_iter().for_each(cleanup::child_ended);
        if self.terminated.load(Ordering::SeqCst) {
            cleanup::all();
        }
        self.terminal.restore();
        status.map_or(u8::MAX, exit_code)
    }

    /// Waits for the command, and for those of its descendants that end before.
    fn child_status(&mut self) -> io::Result<ExitStatus> {
        let Some(id) = self.id else { return self.child.wait() };
        loop {
            match wait(WaitOptions::UNTRACED) {
                Ok(Some((child, status))) if child == id && status.stopped() => stop_as(id),
                Ok(Some((child, status))) if child == id => {
                    return Ok(ExitStatus::from_raw(status.as_raw()));
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Stops this process and the program that traces, as the command has stopped itself, and
/// continues the command with them: an interactive shell that is suspended is in a process
/// group of its own. Others were stopped with this process.
fn stop_as(command: Pid) {
    let (Ok(group), own) = (getpgid(Some(command)), getpgrp()) else { return };
    if group != own {
        // It has no effect where no shell could continue them. Fails if the group has ended.
        let _ = kill_process_group(own, Signal::TSTP);
        let _ = kill_process_group(group, Signal::CONT);
    }
}

/// The exit code, or 128 and the number of the signal that terminated it.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
