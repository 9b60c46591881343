//! Long answers, piece by piece: no line of the socket grows with the configuration.

use std::io;

use api::{ConfigText, Error, ErrorCode, Reply};

/// Sends all but the last piece of a long list or text.
pub(super) fn in_parts(reply: Reply, part: &mut dyn FnMut(Reply) -> io::Result<()>) -> Result<Reply, Error> {
    match reply {
        Reply::Services(all) => send_weighed(all, |s| 1 + s.destinations.len(), Reply::Services, part),
        Reply::Destinations(all) => send_list(all, Reply::Destinations, part),
        Reply::Addresses(all) => send_list(all, Reply::Addresses, part),
        Reply::Routes(all) => send_list(all, Reply::Routes, part),
        Reply::Neighbours(all) => send_list(all, Reply::Neighbours, part),
        Reply::Checked(all) => send_list(all, Reply::Checked, part),
        Reply::Config(ConfigText { text }) => send_text(&text, part),
        short => return Ok(short),
    }
    .map_err(|e| Error::new(ErrorCode::Internal, format!("the client is gone: {e}")))
}

pub(super) fn send_list<T>(
    all: Vec<T>,
    wrap: impl Fn(Vec<T>) -> Reply,
    part: &mut dyn FnMut(Reply) -> io::Result<()>,
) -> io::Result<Reply> {
    send_weighed(all, |_| 1, wrap, part)
}

/// A part ends with the element that makes its weight [`api::codec::PART_ELEMENTS`] or more.
pub(super) fn send_weighed<T>(
    all: Vec<T>,
    weight: impl Fn(&T) -> usize,
    wrap: impl Fn(Vec<T>) -> Reply,
    part: &mut dyn FnMut(Reply) -> io::Result<()>,
) -> io::Result<Reply> {
    let mut rest = all.into_iter();
    loop {
        let mut weighed = 0;
        let mut piece = Vec::new();
        while weighed < api::codec::PART_ELEMENTS
            && let Some(element) = rest.next()
        {
            weighed += weight(&element);
            piece.push(element);
        }
        if rest.len() == 0 {
            return Ok(wrap(piece));
        }
        part(wrap(piece))?;
    }
}

const TEXT_PART_BYTES: usize = 1 << 20;

fn send_text(text: &str, part: &mut dyn FnMut(Reply) -> io::Result<()>) -> io::Result<Reply> {
    let wrap = |text: &str| Reply::Config(ConfigText { text: text.to_owned() });
    let mut rest = text;
    while rest.len() > TEXT_PART_BYTES {
        let (piece, more) = rest.split_at(rest.floor_char_boundary(TEXT_PART_BYTES));
        part(wrap(piece))?;
        rest = more;
    }
    Ok(wrap(rest))
}
