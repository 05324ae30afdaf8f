//! The process that created a Job: whether it is still running on this machine. Its Jobs are
//! left over if it is not.

use std::fs;

use rustix::process::geteuid;

/// This process, as a name that no other has: the machine since its start, the namespace of
/// process ids, the user, the id, and when it started. `None` where the system does not tell.
pub(super) fn this_process() -> Option<String> {
    let id = std::process::id();
    Some(format!("{} {id} {}", place()?, started(id)?))
}

/// Whether a process is known to have ended: it was one of this machine, of this namespace and
/// of this user, and there is none with its id and start now. The processes of other users may
/// be hidden (`hidepid` of /proc).
pub(super) fn has_ended(process: &str) -> bool {
    let Some(rest) = place().and_then(|place| process.strip_prefix(&place)?.strip_prefix(' ')) else {
        return false;
    };
    let mut words = rest.split(' ');
    let Some(id) = words.next().and_then(|id| id.parse().ok()) else { return false };
    let Some(start) = words.next() else { return false };
    started(id).as_deref() != Some(start)
}

fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let namespace = namespace.to_str()?.trim_matches(|char: char| !char.is_ascii_digit()).to_owned();
    Some(format!("{} {namespace} {}", boot.trim(), geteuid().as_raw()))
}

/// When a process started: the 20th field after its name.
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn started(id: u32) -> Option<String> {
    let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    // A zombie has ended.
    let state = fields.next().filter(|state| *state != "Z")?;
    let _ = state;
    fields.nth(18).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_ended_is_recognised() {
        let this = this_process().expect("/proc");
        assert!(!has_ended(&this), "{this}");
        let mut words: Vec<_> = this.split(' ').collect();
        words[4] = "7";
        assert!(has_ended(&words.join(" ")), "another start");
        let mut elsewhere: Vec<_> = this.split(' ').collect();
        elsewhere[0] = "00000000-0000-0000-0000-000000000000";
        elsewhere[4] = "7";
        assert!(!has_ended(&elsewhere.join(" ")), "of another machine, nothing is known");
        let mut of_another: Vec<_> = this.split(' ').collect();
        of_another[2] = "4242";
        of_another[4] = "7";
        assert!(!has_ended(&of_another.join(" ")), "the processes of another user may be hidden");
        assert!(!has_ended(""));
    }
}
