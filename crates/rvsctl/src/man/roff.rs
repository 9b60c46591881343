//! The little of Markdown that the guide uses, as man(7).

/// The title and the line that `whatis` shows.
pub fn head(name: &str, section: u8, about: &str) -> String {
    let title = name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {title} {section} \"\" \"rvs {version}\"\n.SH NAME\n{} \\- {about}\n", escaped(name))
}

/// The text below the first heading. Tables become lists of their first columns' entries.
pub fn from_markdown(text: &str) -> String {
    let mut out = String::from(".SH DESCRIPTION\n");
    let mut columns: Vec<String> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("### ") {
            out.push_str(&format!(".SS {}\n", inline(heading)));
        } else if let Some(heading) = line.strip_prefix("## ") {
            out.push_str(&format!(".SH {}\n", inline(heading)));
        } else if line.starts_with("# ") || line.trim().is_empty() {
            if out.ends_with('\n')
                && lines.peek().is_some_and(|next| is_prose(next))
                && !line.starts_with('#')
            {
                out.push_str(".PP\n");
            }
        } else if line.starts_with("```") {
            out.push_str(".PP\n.nf\n");
            for code in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                out.push_str(&guarded(&escaped(code)));
            }
            out.push_str(".fi\n");
        } else if let Some(row) = line.strip_prefix('|') {
            if row.trim_start().starts_with("---") {
                continue;
            }
            let cells: Vec<String> = row.trim_end().trim_end_matches('|').split(" | ").map(inline).collect();
            if lines.peek().is_some_and(|next| next.starts_with("| ---")) {
                columns = cells;
            } else {
                out.push_str(&entry(&columns, &cells));
            }
        } else if let Some(item) = line.strip_prefix("- ") {
            out.push_str(&format!(".IP \\(bu 2\n{}", guarded(&inline(item))));
        } else {
            out.push_str(&guarded(&inline(line)));
        }
    }
    // Characters that not every roff knows.
    out.replace('–', "\\(en").replace('→', "\\(->").replace('…', "...")
}

fn is_prose(line: &str) -> bool {
    !(line.is_empty() || line.starts_with('#') || line.starts_with('|') || line.starts_with("```"))
}

/// A row: its first cell, the last one below it, and those between by the names of their columns.
fn entry(columns: &[String], cells: &[String]) -> String {
    let Some((first, rest)) = cells.split_first() else { return String::new() };
    let Some((last, between)) = rest.split_last() else { return format!(".TP\n{first}\n") };
    let facts = columns.iter().skip(1).zip(between).filter(|(_, cell)| !cell.trim().is_empty());
    let facts: Vec<String> =
        facts.map(|(column, cell)| format!("{}: {}", column.trim(), cell.trim())).collect();
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join("; ")) };
    format!(".TP\n{}{facts}\n{}", first.trim(), guarded(last.trim()))
}

/// A line that begins with no control character.
fn guarded(line: &str) -> String {
    let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
    format!("{guard}{line}\n")
}

/// Characters that roff would take for something else.
pub fn escaped(text: &str) -> String {
    text.trim_end().replace('\\', "\\e").replace('-', "\\-")
}

/// Code in bold, links by their text.
pub fn inline(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split('`').enumerate() {
        if i % 2 == 1 {
            out.push_str(&format!("\\fB{}\\fR", part.replace('\\', "\\e").replace('-', "\\-")));
        } else {
            out.push_str(&without_links(part).replace('\\', "\\e").replace("**", ""));
        }
    }
    out
}

/// `[text](place)` as `text`. A link whose text is code is in three parts: what is left of it goes too.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let before = before.replacen('[', "", before.matches('[').count().min(1));
        out.push_str(&before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_man() {
        let text = "# Title\n\nThe `-x` and [a page](page.md).\n.dot\n\n## `[a]` (live)\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n\
                    | `k-1` | boolean | `false` | what it does |\n\n```sh\n.run -x 'y'\n```\n- item\n";
        let want = ".SH DESCRIPTION\n.PP\nThe \\fB\\-x\\fR and a page.\n\\&.dot\n.SH \\fB[a]\\fR (live)\n.TP\n\\fBk\\-1\\fR (type: boolean; default: \
                    \\fBfalse\\fR)\nwhat it does\n.PP\n.nf\n\\&.run \\-x 'y'\n.fi\n.IP \\(bu 2\nitem\n";
        assert_eq!(from_markdown(text), want);
    }
}
