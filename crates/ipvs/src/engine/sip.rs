//! The Call-ID of a SIP message (RFC 3261, 8.1.1.4), found as Linux finds it [ip_vs_sip_fill_param].
//!
//! A line is one that CR, LF or both end; the first is the request or status and is not looked at, and where headers end and
//! a body begins is not asked. The name is `Call-ID`, or `i`, in any case; what follows may be on a continued line.

/// Bytes of the longest Call-ID that counts [IP_VS_PEDATA_MAXLEN].
pub(crate) const CALL_ID_MAX: usize = 255;

/// The Call-ID of a message; `None` if it has none that counts. Whatever the bytes, this neither panics nor allocates.
pub(crate) fn call_id(message: &[u8]) -> Option<&[u8]> {
    let value = header(message)?;
    let len = value_len(value)?;
    let line_goes_on = |next: &u8| !matches!(next, b'\r' | b'\n');
    if len > CALL_ID_MAX || value.get(len).is_none_or(line_goes_on) {
        return None;
    }
    value.get(..len)
}

/// What follows the name of the first header that is a Call-ID, or that begins as one.
fn header(message: &[u8]) -> Option<&[u8]> {
    let mut rest = message;
    loop {
        rest = next_line(rest)?;
        if matches!(rest.first()?, b' ' | b'\t') {
            continue;
        }
        if let Some(behind) = behind_name(rest) {
            return skip_space(skip_space(behind)?.strip_prefix(b":")?);
        }
    }
}

/// From the start of the next line on.
fn next_line(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|b| matches!(b, b'\r' | b'\n'))?;
    let behind = text.get(end..)?;
    behind.strip_prefix(b"\r\n").or_else(|| behind.get(1..)).filter(|rest| !rest.is_empty())
}

/// Behind the name of the header, if it is the one. A name of one letter must not go on with a letter.
fn behind_name(line: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"Call-ID";
    if line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
        return line.get(NAME.len()..);
    }
    let compact = line.first()?.eq_ignore_ascii_case(&b'i') && !line.get(1)?.is_ascii_alphabetic();
    compact.then(|| line.get(1..))?
}

/// Behind white space, which may contain one end of a line if the next one begins with more of it.
fn skip_space(text: &[u8]) -> Option<&[u8]> {
    let text = trim(text);
    if !matches!(text.first()?, b'\r' | b'\n') {
        return Some(text);
    }
    let next = next_line(text)?;
    matches!(next.first()?, b' ' | b'\t').then(|| trim(next)).filter(|rest| !rest.is_empty())
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|b| !matches!(b, b' ' | b'\t')).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// Length of `word` or `word@word`; none if there is no such thing.
fn value_len(value: &[u8]) -> Option<usize> {
    let word = word_len(value);
    let len = match value.get(word) {
        Some(b'@') => match word_len(value.get(word + 1..)?) {
            0 => return None,
            domain => word + 1 + domain,
        },
        _ => word,
    };
    (len > 0).then_some(len)
}

/// Characters of a `word` (RFC 3261, 25.1).
fn word_len(text: &[u8]) -> usize {
    let goes_on = |b: &u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(b);
    text.iter().position(|b| !goes_on(b)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Recording sip_forms_v4, and forms beside it.
    #[test]
    fn call_ids_are_found_as_linux_finds_them() {
        const FIRST: &str = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP pc33.example.com\r\n";
        let (long, too_long) = ("x".repeat(CALL_ID_MAX), "x".repeat(CALL_ID_MAX + 1));
        let table = [
            ("plain", "Call-ID: a84b@host\r\n".to_owned(), Some("a84b@host")),
            ("compact", "i: short@x\r\n".into(), Some("short@x")),
            ("compact, no space", "I:short@x\r\n".into(), Some("short@x")),
            ("capitals", "CALL-ID: upper@x\r\n".into(), Some("upper@x")),
            ("space behind", "Call-ID: spaces@x  \r\n".into(), None),
            ("no @", "Call-ID: nodomain\r\n".into(), Some("nodomain")),
            ("empty domain", "Call-ID: a@\r\n".into(), None),
            ("two @", "Call-ID: two@at@x\r\n".into(), None),
            ("a space", "Call-ID: word with@space\r\n".into(), None),
            ("a semicolon", "Call-ID: semi;colon@x\r\n".into(), None),
            ("LF", "Call-ID: lf@x\n".into(), Some("lf@x")),
            ("CR", "Call-ID: cr@x\rCSeq: 1\r".into(), Some("cr@x")),
            ("longest", format!("Call-ID: {long}\r\n"), Some(&long)),
            ("too long", format!("Call-ID: {too_long}\r\n"), None),
            ("empty", "Call-ID: \r\nCSeq: 1\r\n".into(), None),
            ("no end of line", "Call-ID: end@x".into(), None),
            ("continued", "Call-ID:\r\n fold@x\r\n".into(), Some("fold@x")),
            ("continued twice", "Call-ID:\r\n \r\n fold@x\r\n".into(), None),
            ("space before the colon", "Call-ID : space@x\r\n".into(), Some("space@x")),
            ("in a continued line", "Subject: x\r\n Call-ID: no@x\r\ni: real@x\r\n".into(), Some("real@x")),
            ("in the body", "Content-Length: 20\r\n\r\nCall-ID: body@x\r\n".into(), Some("body@x")),
            ("a longer name ends the search", "Call-IDx: no@x\r\ni: yes@x\r\n".into(), None),
            ("another name with i", "Info: no@x\r\ni: yes@x\r\n".into(), Some("yes@x")),
            (
                "all signs of a word",
                "i: -.!%*_+`'~()<>:\\\"/[]?{}@x\r\n".into(),
                Some("-.!%*_+`'~()<>:\\\"/[]?{}@x"),
            ),
        ];
        for (name, headers, want) in &table {
            let message = format!("{FIRST}{headers}");
            assert_eq!(call_id(message.as_bytes()), want.map(str::as_bytes), "{name}");
        }
        for message in ["", "\r\n\r\n", "Call-ID: first@x\r\n\r\n", "\r\n", "\n", "x"] {
            assert_eq!(call_id(message.as_bytes()), None, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(b"Call-ID".to_vec()), Just(b"\r\n".to_vec()), Just(b"i:".to_vec()), Just(b": ".to_vec()),
                    prop::collection::vec(any::<u8>(), 0..8),
                ], 0..12),
        ) {
            let message = parts.concat();
            if let Some(id) = call_id(&message) {
                prop_assert!((1..=CALL_ID_MAX).contains(&id.len()));
            }
        }
    }
}
