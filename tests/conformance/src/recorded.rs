//! Recorded listings, read into the rows that [`Lab`](crate::Lab) shows.

use crate::command::Listing;
use crate::lab::Block;

/// Lines above the first service of `ipvsadm -Ln` and its like.
const HEADING: [&str; 3] = ["IP Virtual Server", "Prot", "  ->"];

/// Services and their destinations, the words of a row separated by one blank.
pub(crate) fn blocks<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let heading = lines
        .into_iter()
        .enumerate()
        .filter(|(at, line)| *at >= HEADING.len() || !HEADING.iter().any(|start| line.starts_with(start)));
    for (_, line) in heading {
        let row = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match blocks.last_mut() {
            Some((_, dests)) if row.starts_with("->") => dests.push(row),
            _ if row.is_empty() => {}
            _ => blocks.push((row, Vec::new())),
        }
    }
    blocks
}

/// Services and their destinations as `ipvsadm -Sn` saves them; a destination's row begins with its own name.
pub(crate) fn saved<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in lines {
        match (
            blocks.last_mut(),
            line.strip_prefix("-a ").and_then(|line| line.find("-r ").map(|at| &line[at..])),
        ) {
            (Some((_, dests)), Some(dest)) => dests.push(dest.trim().to_owned()),
            _ => blocks.push((line.trim().to_owned(), Vec::new())),
        }
    }
    blocks
}

/// The first word or two of each row: who it is about.
pub(crate) fn names(blocks: Vec<Block>) -> Vec<Block> {
    let name = |row: String| row.split(' ').take(2).collect::<Vec<_>>().join(" ");
    blocks.into_iter().map(|(row, dests)| (name(row), dests.into_iter().map(name).collect())).collect()
}

/// Takes the lines of one listing off those that several commands printed.
pub(crate) fn section<'a>(lines: &mut Vec<&'a str>, listing: Listing) -> Vec<&'a str> {
    let ours = |(at, line): &(usize, &&str)| match listing {
        Listing::Saved => line.starts_with('-'),
        Listing::Totals | Listing::Origins(_) | Listing::Timeouts | Listing::Daemons => true,
        _ => {
            *at == 0
                || ["Prot", "  ->", "TCP", "UDP", "SCTP", "FWM"].iter().any(|start| line.starts_with(start))
        }
    };
    let end = lines.iter().enumerate().take_while(ours).count();
    lines.drain(..end).collect()
}

/// Rows of `/proc/net/ip_vs_conn` and seconds left. The heading, where there is one, is skipped, and names and data of
/// persistence engines with it.
pub(crate) fn connections(lines: &[String]) -> Vec<(String, u64)> {
    rows(lines.iter().map(String::as_str), 8)
}

/// Rows of `/proc/net/ip_vs_conn_sync` and seconds left.
pub(crate) fn connections_with_origin<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, u64)> {
    rows(lines, 9)
}

/// Rows with so many columns before the seconds, and perhaps some behind.
fn rows<'a>(lines: impl Iterator<Item = &'a str>, before: usize) -> Vec<(String, u64)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let seconds = words.get(before)?.parse().ok()?;
        Some(([&words[..before], &words[before + 1..]].concat().join(" "), seconds))
    };
    let mut rows: Vec<(String, u64)> = lines.filter_map(row).collect();
    rows.sort();
    rows
}

/// The totals of `/proc/net/ip_vs_stats`, below two lines of heading, hexadecimal.
pub(crate) fn totals<'a>(mut lines: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let words = lines.nth(2).unwrap_or_default().split_whitespace();
    words.filter_map(|word| u64::from_str_radix(word, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read() {
        let text = "IP Virtual Server\nProt\n  ->\nTCP  192.0.2.100:80 rr\n  -> 10.0.2.11:80     Masq    1\n\nUDP  a rr";
        let want = vec![
            ("TCP 192.0.2.100:80 rr".to_owned(), vec!["-> 10.0.2.11:80 Masq 1".to_owned()]),
            ("UDP a rr".to_owned(), vec![]),
        ];
        assert_eq!(blocks(text.lines()), want);
    }

    #[test]
    fn totals_are_read() {
        let text = "   Total Incoming\n   Conns  Packets\n     3   9   2   26A   118\n\n Conns/s\n  0";
        assert_eq!(totals(text.lines()), [3, 9, 2, 0x26a, 0x118]);
    }

    #[test]
    fn connections_are_read_without_their_heading() {
        let lines = [
            "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData",
            "TCP C6336401 9C40 C0000264 0050 0A00020B 1F90 ESTABLISHED     897",
        ];
        let want = "TCP C6336401 9C40 C0000264 0050 0A00020B 1F90 ESTABLISHED".to_owned();
        assert_eq!(connections(&lines.map(str::to_owned)), [(want, 897)]);
    }
}
