//! `cargo xtask bench`: the packet path's speed, case by case, and `cargo xtask instructions`: what each packet costs in instructions.
//!
//! Both run `rvs-path` (crate `rvs-benches`): one thread, no device; a source that makes packets in place, the director, a sink. The
//! reference does on the same source what testpmd's mode `5tswap` does. Rates are of the machine and the moment, ratios
//! hardly, instructions not at all: so they are what is checked (`benches/instructions.txt`), and rates are only shown.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::error::Context;
use lab::{Error, Result};

use crate::steps;

/// Cases that `--quick` measures.
const QUICK: &[&str] = &[
    "fullnat-udp-1k",
    "fullnat-udp-100k",
    "fullnat-udp-1m",
    "fullnat-tcp-1k",
    "fullnat-udp-1k-replies",
    "nat-udp-1k",
    "dr-udp-1k",
    "tunnel-udp-1k",
    "fullnat-udp6-1k",
    "nat-udp6-1k",
    "dr-udp6-1k",
    "conn-udp-1m",
];
/// Those that a whole run has besides.
const MORE: &[&str] = &[
    "fullnat-udp-10m",
    "fullnat-udp6-100k",
    "fullnat-udp6-1m",
    "fullnat-tcp-1m",
    "tunnel-udp6-1k",
    "nat-udp-1k-replies",
    "nat-udp-1m",
    "fullnat-udp6-1k-replies",
    "fullnat-udp-1k-single",
    "fullnat-udp-1m-single",
    "conn-udp-2m",
];
/// Cases whose instructions are compared with those written down.
const COUNTED: &[&str] = &[
    REFERENCE,
    "fullnat-udp-1k",
    "fullnat-tcp-1k",
    "fullnat-udp6-1k",
    "fullnat-udp-1k-replies",
    "nat-udp-1k",
    "nat-udp-1k-replies",
    "dr-udp-1k",
    "tunnel-udp-1k",
    "fullnat-udp-1k-single",
    "conn-udp-40k",
];
/// What instructions may differ by from what is written down, in percent.
const TOLERANCE_PERCENT: f64 = 3.0;
const BASELINE: &str = "benches/instructions.txt";
const REFERENCE: &str = "5tswap-udp-1k";

/// A case's runs.
struct Measured {
    case: String,
    /// Nanoseconds a packet, sorted.
    runs: Vec<f64>,
    reference: Vec<f64>,
}

impl Measured {
    fn ratio(&self) -> f64 {
        median(&self.reference) / median(&self.runs)
    }
}

/// `cargo xtask bench`.
pub(crate) fn run(options: &[&str]) -> Result<()> {
    let (mut quick, mut json, mut svg) = (false, None, None);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let mut file =
            || words.next().map(PathBuf::from).ok_or_else(|| Error::new(format!("{word} needs a file")));
        match *word {
            "--quick" => quick = true,
            "--json" => json = Some(file()?),
            "--svg" => svg = Some(file()?),
            other => return Err(Error::new(format!("bench: `{other}` is not understood"))),
        }
    }
    let program = build()?;
    let cases = QUICK.iter().chain(if quick { &[][..] } else { MORE });
    let (runs, seconds) = if quick { ("3", "0.4") } else { ("5", "1") };
    let mut all = Vec::new();
    println!("{:<28} {:>9} {:>9} {:>9} {:>8} {:>7}", "case", "ns min", "median", "max", "Mpps", "ratio");
    for case in cases {
        // The reference anew for each case: the machine may be slower now than a minute ago.
        let reference = rates(&program, runs, seconds, REFERENCE)?;
        let runs = rates(&program, runs, seconds, case)?;
        let measured = Measured { case: (*case).to_owned(), runs, reference };
        let (ns, last) = (median(&measured.runs), measured.runs.len() - 1);
        let (min, max, mpps) = (measured.runs[0], measured.runs[last], 1e3 / ns);
        println!("{case:<28} {min:>9.1} {ns:>9.1} {max:>9.1} {mpps:>8.2} {:>7.3}", measured.ratio());
        all.push(measured);
    }
    if let Some(file) = json {
        std::fs::write(&file, to_json(&all)).context(file.display())?;
    }
    if let Some(file) = svg {
        std::fs::write(&file, to_svg(&all)).context(file.display())?;
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    steps::cargo("build --release --package rvs-benches --bin rvs-path")?;
    let ours = std::env::current_exe()?;
    let target = ours.parent().and_then(Path::parent).ok_or_else(|| Error::new("no target folder"))?;
    Ok(target.join("release/rvs-path"))
}

/// Nanoseconds a packet of each run, sorted.
fn rates(program: &Path, runs: &str, seconds: &str, case: &str) -> Result<Vec<f64>> {
    let output =
        Command::new(program).args(["--rate", runs, seconds, case]).output().context(program.display())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut runs: Vec<f64> = text.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    if !output.status.success() || runs.is_empty() {
        return Err(Error::new(format!("{case}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    runs.sort_by(f64::total_cmp);
    Ok(runs)
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn to_json(all: &[Measured]) -> String {
    let list = |ns: &[f64]| {
        let rates: Vec<String> = ns.iter().map(|ns| format!("{:.3}", 1e3 / ns)).collect();
        rates.join(", ")
    };
    let entry = |measured: &Measured| {
        let (case, ratio) = (&measured.case, measured.ratio());
        let (rvs, reference) = (list(&measured.runs), list(&measured.reference));
        format!(
            "  {{\"case\": \"{case}\", \"unit\": \"Mpps\", \"rvs\": [{rvs}], \"reference\": \"5tswap on the same source\", \
             \"reference_runs\": [{reference}], \"ratio\": {ratio:.4}}}"
        )
    };
    let entries: Vec<String> = all.iter().map(entry).collect();
    format!("[\n{}\n]\n", entries.join(",\n"))
}

/// Bars of the ratio to the reference.
fn to_svg(all: &[Measured]) -> String {
    let height = 30 + 22 * all.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <text x=\"8\" y=\"16\">rate, as a part of what 5tswap does on the same source</text>\n"
    );
    for (at, measured) in all.iter().enumerate() {
        let (y, ratio) = (26 + 22 * at, measured.ratio());
        let (width, mpps) = (420.0 * ratio.min(1.0), 1e3 / median(&measured.runs));
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\">{}</text><rect x=\"200\" y=\"{y}\" width=\"{width:.0}\" height=\"16\" fill=\"#4878a8\"/>\
             <text x=\"{:.0}\" y=\"{}\">{ratio:.3} ({mpps:.1} Mpps)</text>",
            y + 13,
            measured.case,
            206.0 + width,
            y + 13,
        );
    }
    svg + "</svg>\n"
}

/// `cargo xtask instructions`: compares with what is written down, or writes it down.
pub(crate) fn instructions(options: &[&str]) -> Result<()> {
    let program = build()?;
    let mut counted = Vec::new();
    for case in COUNTED {
        counted.push(((*case).to_owned(), per_packet(&program, case)?));
    }
    let file = steps::root().join(BASELINE);
    if options == ["--bless"] {
        let lines: String = counted.iter().map(|(case, count)| format!("{case} {count:.0}\n")).collect();
        print!("{lines}");
        return Ok(std::fs::write(&file, lines)?);
    }
    let baseline = std::fs::read_to_string(&file).context(file.display())?;
    let wrong = compare(&baseline, &counted);
    if wrong.is_empty() { Ok(()) } else { Err(Error::new(wrong.join("\n"))) }
}

/// Instructions of one more packet: what twice as many packets take, less what they take once.
fn per_packet(program: &Path, case: &str) -> Result<f64> {
    const PACKETS: u64 = 20_000;
    let (once, twice) = (collected(program, case, PACKETS)?, collected(program, case, 2 * PACKETS)?);
    Ok((twice - once) as f64 / PACKETS as f64)
}

fn collected(program: &Path, case: &str, packets: u64) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = command.arg(case).arg(packets.to_string()).output().context("valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.filter(|_| output.status.success()).ok_or_else(|| Error::new(format!("{case}: {text}")))
}

/// What is not as it is written down.
fn compare(baseline: &str, counted: &[(String, f64)]) -> Vec<String> {
    let known = |case: &str| {
        let mut lines = baseline.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(name, _)| *name == case).and_then(|(_, count)| count.trim().parse::<f64>().ok())
    };
    let mut wrong = Vec::new();
    println!("{:<28} {:>12} {:>12} {:>8}", "case", "instructions", "written down", "percent");
    for (case, count) in counted {
        let Some(was) = known(case) else {
            wrong.push(format!(
                "{case}: {count:.0} instructions a packet; none are written down in {BASELINE}"
            ));
            continue;
        };
        let percent = (count / was - 1.0) * 100.0;
        println!("{case:<28} {count:>12.0} {was:>12.0} {percent:>+8.1}");
        if percent.abs() > TOLERANCE_PERCENT {
            wrong.push(format!(
                "{case}: {count:.0} instructions a packet, {was:.0} written down; if that is meant: cargo xtask instructions --bless"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_percent_are_let_pass_and_what_is_unknown_is_not() {
        let counted = |count| [("a".to_owned(), count)];
        for (count, fine) in [(100.0, true), (102.9, true), (97.1, true), (103.1, false), (96.9, false)] {
            assert_eq!(compare("b 7\na 100\n", &counted(count)).is_empty(), fine, "{count}");
        }
        assert_eq!(compare("b 7\n", &counted(1.0)).len(), 1);
    }

    #[test]
    fn results_are_rates_and_the_ratio_of_medians() {
        let all = [Measured {
            case: "x".to_owned(),
            runs: vec![100.0, 200.0, 400.0],
            reference: vec![40.0, 50.0, 60.0],
        }];
        let json = to_json(&all);
        assert!(
            json.contains("\"rvs\": [10.000, 5.000, 2.500]") && json.contains("\"ratio\": 0.2500"),
            "{json}"
        );
        assert!(to_svg(&all).contains("0.250 (5.0 Mpps)"));
    }
}
