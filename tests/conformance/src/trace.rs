//! Traces as they are stored: what was done to a Linux director, and what it did.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

/// A recorded scenario. Members that only people read are left out.
#[derive(Debug, Deserialize)]
pub struct Trace {
    /// Its name.
    pub scenario: String,
    /// What it shows.
    pub desc: String,
    /// Settings (`net.ipv4.vs.…`) that were changed before the first step.
    #[serde(deserialize_with = "settings")]
    pub sysctl_set: BTreeMap<String, String>,
    /// Kernel modules loaded beside ip_vs, separated by blanks.
    pub extra_modules: String,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

/// A step of a trace. Times are milliseconds since its start.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Step {
    /// A shell command.
    Cmd {
        /// Its text.
        cmd: String,
        /// How it ended, 0 for success.
        rc: i32,
        /// What it printed.
        out: String,
        /// Frames that left because of it.
        #[serde(default)]
        frames: Vec<Frame>,
    },
    /// A frame arrives.
    In {
        /// The frame and where it arrives.
        #[serde(flatten)]
        frame: Frame,
        /// When.
        t_ms: u64,
        /// What left because of it.
        out: Vec<Frame>,
    },
    /// Time passes.
    Wait {
        /// How much.
        ms: u64,
        /// What left meanwhile.
        out: Vec<Frame>,
    },
    /// `/proc/net/ip_vs_conn`, sorted.
    Conns {
        /// When.
        t_ms: u64,
        /// Its rows, without heading.
        proc_conn: Vec<String>,
    },
    /// What the tools show.
    Dump(Box<Dump>),
    /// Remarks of the recording.
    Note {},
}

/// Listings, headings included.
#[derive(Debug, Deserialize)]
pub struct Dump {
    /// When.
    pub t_ms: u64,
    /// `ipvsadm -Ln`.
    pub list: Vec<String>,
    /// `ipvsadm -Ln --stats --exact`.
    pub stats: Vec<String>,
    /// `ipvsadm -Ln --thresholds`.
    pub thresholds: Vec<String>,
    /// `ipvsadm -L --timeout`.
    pub timeouts: Vec<String>,
    /// `ipvsadm -L --daemon`.
    pub daemon: Vec<String>,
    /// `/proc/net/ip_vs_conn`.
    pub proc_conn: Vec<String>,
    /// `/proc/net/ip_vs`.
    pub proc_ip_vs: Vec<String>,
}

/// An Ethernet frame at a link: `c` towards clients, `s` towards servers, `m` for synchronisation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Frame {
    /// The link.
    pub side: char,
    /// The frame, without its check sequence.
    #[serde(rename = "hex", deserialize_with = "bytes")]
    pub bytes: Vec<u8>,
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty()).ok_or_else(|| de::Error::custom("a frame is not hexadecimal"))
}

/// Values are recorded as numbers or as text.
fn settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(name, value)| (name, text(value))).collect())
}
