//! HTTP requests by stock curl: many, each a connection of its own, each timed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lab::error::Context;
use lab::{Error, Namespace, Result, nginx};

use crate::config::endpoint;

/// What to ask for.
#[derive(Debug, Clone)]
pub struct Load {
    /// The virtual address and port.
    pub target: (IpAddr, u16),
    /// How many requests.
    pub requests: u32,
    /// How many at a time.
    pub parallel: u32,
    /// The client's address; the kernel's choice if none.
    pub source: Option<IpAddr>,
}

/// What came of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The server that answered; `None` for an error.
    pub server: Option<String>,
    /// From start to end, in milliseconds.
    pub time_ms: f64,
    /// What curl said, if the request failed.
    pub error: Option<String>,
}

/// Sends the load from `client`.
pub fn curl(client: &Namespace, load: &Load) -> Result<Vec<Sample>> {
    let (address, port) = load.target;
    let mut command = client.command("curl");
    command
        .args(["--silent", "--parallel", "--parallel-immediate", "--max-time", "15", "--output", "/dev/null"])
        .args(["--parallel-max", &load.parallel.to_string()])
        .args([
            "--write-out",
            &format!("%{{http_code}} %{{time_total}} %header{{{}}} %{{errormsg}}\\n", nginx::SERVER_HEADER),
        ]);
    if let Some(source) = load.source {
        command.args(["--interface", &source.to_string()]);
    }
    command.arg(format!("http://{}/[1-{}]", endpoint(address, port), load.requests));
    // The exit code is that of the last failure; each failure shows in its own line.
    let output = command.output().context("curl")?;
    let samples: Vec<Sample> = String::from_utf8_lossy(&output.stdout).lines().filter_map(sample).collect();
    if samples.len() != load.requests as usize {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let (got, wanted) = (samples.len(), load.requests);
        return Err(Error::new(format!("curl reported {got} of {wanted} requests: {}", stderr.trim())));
    }
    Ok(samples)
}

fn sample(line: &str) -> Option<Sample> {
    let mut words = line.splitn(4, ' ');
    let code = words.next()?;
    let seconds: f64 = words.next()?.parse().ok()?;
    let server = words.next()?;
    let message = words.next().unwrap_or_default();
    let ok = code == "200" && !server.is_empty();
    Some(Sample {
        server: ok.then(|| server.to_owned()),
        time_ms: seconds * 1000.0,
        error: (!ok).then(|| if message.is_empty() { format!("status {code}") } else { message.to_owned() }),
    })
}

/// The sum of many samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// How many.
    pub requests: usize,
    /// How many failed.
    pub errors: usize,
    /// The first failure's message.
    pub first_error: Option<String>,
    /// Requests by server.
    pub spread: BTreeMap<String, usize>,
    /// The middle of the times of those that succeeded, in milliseconds.
    pub p50_ms: f64,
    /// The time that one in a hundred exceeds, in milliseconds.
    pub p99_ms: f64,
}

/// Sums up.
pub fn summarise(samples: &[Sample]) -> Summary {
    let mut spread = BTreeMap::new();
    for server in samples.iter().filter_map(|sample| sample.server.clone()) {
        *spread.entry(server).or_insert(0) += 1;
    }
    let mut times: Vec<f64> = samples.iter().filter(|s| s.server.is_some()).map(|s| s.time_ms).collect();
    times.sort_by(f64::total_cmp);
    Summary {
        requests: samples.len(),
        errors: samples.iter().filter(|sample| sample.error.is_some()).count(),
        first_error: samples.iter().find_map(|sample| sample.error.clone()),
        spread,
        p50_ms: percentile(&times, 50),
        p99_ms: percentile(&times, 99),
    }
}

/// The nearest-rank percentile of sorted numbers; 0 of none.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

impl Summary {
    /// An error unless every request succeeded and each of `servers` had its part, which with round robin and
    /// one client at a time would be the same for all; a third of that is asked for.
    pub fn check(&self, servers: usize) -> Result<()> {
        if self.errors > 0 {
            let first = self.first_error.as_deref().unwrap_or_default();
            return Err(Error::new(format!(
                "{} of {} requests failed, first: {first}",
                self.errors, self.requests
            )));
        }
        let least = self.requests / servers / 3;
        if self.spread.len() != servers || self.spread.values().any(|&n| n < least) {
            return Err(Error::new(format!("not spread over {servers} servers: {:?}", self.spread)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_curl_become_samples() {
        let ok = sample("200 0.001500 rs2 ").unwrap();
        assert_eq!((ok.server.as_deref(), ok.time_ms, ok.error), (Some("rs2"), 1.5, None));
        let failed = sample("000 0.2  Failed to connect").unwrap();
        assert_eq!((failed.server, failed.error.as_deref()), (None, Some("Failed to connect")));
        assert_eq!(sample("502 0.2  ").unwrap().error.as_deref(), Some("status 502"));
        assert_eq!(sample(""), None);
    }

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (50.0, 99.0));
        assert_eq!((percentile(&[7.0], 99), percentile(&[], 50)), (7.0, 0.0));
    }

    #[test]
    fn a_failure_or_a_silent_server_fails_the_check() {
        let answered = |server: &str| Sample { server: Some(server.to_owned()), time_ms: 1.0, error: None };
        let mut samples: Vec<Sample> = ["rs1", "rs2", "rs1", "rs2", "rs1", "rs2"].map(answered).to_vec();
        summarise(&samples).check(2).unwrap();
        assert!(summarise(&samples).check(3).is_err());
        samples[0] = Sample { server: None, time_ms: 0.0, error: Some("refused".to_owned()) };
        assert!(summarise(&samples).check(2).unwrap_err().to_string().contains("refused"));
    }
}
