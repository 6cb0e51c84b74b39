//! Clocks, memory and distributions, and a program that runs itself as another process.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

/// Lengths of time, by how often they came.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Panics
    ///
    /// Never: the bounds are sound.
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("sound bounds"))
    }

    /// One more.
    pub fn record(&mut self, latency: Duration) {
        self.record_ns(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// One more, in nanoseconds.
    pub fn record_ns(&mut self, latency: u64) {
        self.0.saturating_record(latency);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// How many were longer.
    pub fn above(&self, bound: Duration) -> u64 {
        let bound = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        self.count() - self.0.count_between(0, bound)
    }

    /// What so many of a hundred did not exceed.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

/// The median, the tail and the longest.
impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |percent| self.percentile(percent);
        write!(
            f,
            "median {:.1?}   p99 {:.1?}   p99.9 {:.1?}   longest {:.1?}",
            at(50.0),
            at(99.0),
            at(99.9),
            at(100.0)
        )
    }
}

/// Nanoseconds on the monotonic clock, which all processes of a host share.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

/// Bytes of this process in memory; 0 where the system is not Linux.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    kilobytes
        .and_then(|number| number.trim().parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// This very program as a process of its own, that we talk to by its standard input and output. Killed
/// with the handle.
pub struct Other {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Other {
    /// Starts it with these arguments.
    ///
    /// # Panics
    ///
    /// When the system does not let us.
    pub fn start(args: &[&str]) -> Self {
        let program = std::env::current_exe().expect("the program's path");
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let answers = child.stdout.take().expect("it is piped");
        Self {
            child,
            answers: BufReader::new(answers).lines(),
        }
    }

    /// Tells it a line.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn say(&mut self, line: &str) {
        let ear = self.child.stdin.as_mut().expect("it is piped");
        writeln!(ear, "{line}").expect("it listens");
    }

    /// How long its threads have run on a core, in seconds; not a number where the system is not Linux.
    pub fn cpu_seconds(&self) -> f64 {
        // Hundredths of a second, in the user's code and in the system's.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
        match (ticks.next(), ticks.next()) {
            (Some(Ok(user)), Some(Ok(system))) => (user + system) / 100.0,
            _ => f64::NAN,
        }
    }

    /// The next line it says, whenever that is.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn line(&mut self) -> String {
        let line = self.answers.next().expect("it has something to say");
        line.expect("text")
    }

    /// The two numbers that it says next.
    ///
    /// # Panics
    ///
    /// When it says something else.
    pub fn pair(&mut self) -> (u64, u64) {
        let line = self.line();
        let numbers = line
            .split_once(' ')
            .and_then(|(first, second)| Some((first.parse().ok()?, second.parse().ok()?)));
        numbers.expect("two numbers")
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
