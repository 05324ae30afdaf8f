//! The times of a node's samples.

use std::time::Duration;

use tokio::time::Instant;

/// The longest interval during the action where closed sockets are not reported.
const FAST_INTERVAL: Duration = Duration::from_millis(50);
/// How many times as long as a sample takes the interval is at least: a node with very many
/// sockets must not be busy with samples.
const REST: u32 = 25;
/// The same during the action where closed sockets are not reported: what no sample shows is
/// lost.
const FAST_REST: u32 = 8;
/// The time of a sample from which that applies; the node's clock is not more precise.
const LONG_SAMPLE: Duration = Duration::from_millis(10);

/// The times of the samples.
pub(super) struct Schedule {
    interval: Duration,
    /// When the next sample is due.
    pub(super) due: Instant,
    /// How long a sample takes: the mean of the last ones.
    takes: Duration,
}

impl Schedule {
    /// A schedule whose first sample is due now.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, due: Instant::now(), takes: Duration::ZERO }
    }

    /// Makes the next sample due after the interval.
    pub(super) fn start(&mut self) {
        self.due = Instant::now() + self.interval;
    }

    /// Makes the next sample due now.
    pub(super) fn start_now(&mut self) {
        self.due = Instant::now();
    }

    /// Records how long a sample took.
    pub(super) fn took(&mut self, time: Duration) {
        self.takes = (self.takes * 3 + time) / 4;
    }

    /// Advances to the next sample, and returns the number of samples that were missed.
    /// `is_fast` says whether the interval is as short as without reports of closed sockets.
    pub(super) fn advance(&mut self, is_fast: bool) -> u64 {
        let now = Instant::now();
        let interval = if is_fast { self.interval.min(FAST_INTERVAL) } else { self.interval };
        let rest = if is_fast { FAST_REST } else { REST };
        let interval = if self.takes < LONG_SAMPLE { interval } else { interval.max(self.takes * rest) };
        self.due += interval;
        let mut missed = 0;
        while self.due < now {
            self.due += interval;
            missed += 1;
        }
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_samples_lengthen_the_interval() {
        let mut schedule = Schedule::new(Duration::from_millis(200));
        let mut interval = |took| {
            (0..20).for_each(|_| schedule.took(Duration::from_millis(took)));
            schedule.start_now();
            let due = schedule.due;
            assert_eq!(schedule.advance(false), 0);
            (schedule.due - due).as_millis()
        };
        assert_eq!(interval(4), 200);
        assert!((990..=1000).contains(&interval(40)), "at most 4 % of a core");
        assert_eq!(interval(4), 200);
        schedule.takes = Duration::from_millis(40);
        schedule.start_now();
        let due = schedule.due;
        schedule.advance(true);
        assert_eq!((schedule.due - due).as_millis(), 320);
    }
}
