//! What each request is answered with: lists, single replies, and what came of a change.

use std::io;

use api::{Protocol, Reply, SyncRole};
use ipvs_genl::errno::{EIO, ESRCH};
use ipvs_genl::{Command, Config, Daemon, PART_BYTES, Request, ServiceAttrs, Writer, write_family};

use super::change::{change, view_of};
use super::words;
use crate::server::Handler;

/// Sends one datagram.
pub(super) type Send<'s> = &'s mut dyn FnMut(&[u8]) -> io::Result<()>;

/// Does what a request asks for and sends everything that it is answered with. An error means that the client is gone.
pub(super) fn answer(request: &Request, handler: &dyn Handler, send: Send) -> io::Result<()> {
    let header = request.header;
    let mut out = Writer::new(header);
    let outcome = match &request.command {
        Command::ListServices => return list_services(out, handler, send),
        Command::ListDests(service) => return list_dests(out, service, handler, send),
        Command::ListDaemons => return list_daemons(out, handler, send),
        Command::GetFamily => {
            write_family(&mut out);
            Ok(())
        }
        Command::GetService(service) => {
            view_of(handler, service).map(|view| out.service(&words::service(&view)))
        }
        Command::GetConfig => timeouts(handler).map(|config| out.config(&config)),
        Command::GetInfo => table_size(handler).map(|size| out.info(size)),
        other => change(other, handler),
    };
    if !out.is_empty() {
        send(&out.take())?;
    }
    match outcome {
        Ok(()) if !header.wants_ack() => return Ok(()),
        Ok(()) => out.outcome(0),
        Err(errno) => out.outcome(errno),
    }
    send(&out.take())
}

/// Asks the control core; a list comes whole.
pub(super) fn ask(handler: &dyn Handler, request: api::Request) -> Result<Reply, api::Error> {
    let mut first: Option<Reply> = None;
    let mut part = |part: Reply| match &mut first {
        None => {
            first = Some(part);
            Ok(())
        }
        Some(all) => all.append(part).map_err(io::Error::other),
    };
    let last = handler.handle(request, &mut part)?;
    let Some(mut all) = first else { return Ok(last) };
    let whole = all.append(last).map(|()| all);
    whole.map_err(|e| api::Error::new(api::ErrorCode::Internal, e.to_string()))
}

/// Sends what a list has so far, when it is a datagram's worth.
fn flush(out: &mut Writer, send: Send) -> io::Result<()> {
    if out.len() < PART_BYTES {
        return Ok(());
    }
    send(&out.take())
}

fn end(mut out: Writer, send: Send) -> io::Result<()> {
    if !out.is_empty() {
        send(&out.take())?;
    }
    out.done();
    send(&out.take())
}

fn fail(mut out: Writer, errno: i32, send: Send) -> io::Result<()> {
    out.outcome(errno);
    send(&out.take())
}

fn list_services(mut out: Writer, handler: &dyn Handler, send: Send) -> io::Result<()> {
    let Ok(Reply::Services(services)) = ask(handler, api::Request::ServiceList) else {
        return fail(out, EIO, send);
    };
    for view in &services {
        out.service(&words::service(view));
        flush(&mut out, send)?;
    }
    end(out, send)
}

/// The last one added comes first, as in the kernel.
fn list_dests(mut out: Writer, service: &ServiceAttrs, handler: &dyn Handler, send: Send) -> io::Result<()> {
    let view = match view_of(handler, service) {
        Ok(view) => view,
        // The kernel's list of a service that is not there is empty.
        Err(ESRCH) => return end(out, send),
        Err(errno) => return fail(out, errno, send),
    };
    for dest in view.destinations.iter().rev() {
        out.dest(&words::dest(dest));
        flush(&mut out, send)?;
    }
    end(out, send)
}

fn list_daemons(mut out: Writer, handler: &dyn Handler, send: Send) -> io::Result<()> {
    let Ok(Reply::Sync(view)) = ask(handler, api::Request::SyncShow) else { return fail(out, EIO, send) };
    for daemon in &view.daemons {
        out.daemon(&Daemon {
            state: if daemon.spec.role == SyncRole::Master { 1 } else { 2 },
            interface: daemon.spec.interface.clone(),
            sync_id: daemon.spec.id.into(),
            max_bytes: daemon.message_bytes,
            group: daemon.spec.group,
            port: daemon.spec.port,
            ttl: daemon.spec.ttl,
        });
    }
    end(out, send)
}

fn timeouts(handler: &dyn Handler) -> Result<Config, i32> {
    let Ok(Reply::Timeouts(all)) = ask(handler, api::Request::TimeoutList) else { return Err(EIO) };
    let of = |protocol: Protocol, state: &str| {
        let is_it =
            |view: &&api::TimeoutView| view.protocol == protocol && view.state.eq_ignore_ascii_case(state);
        all.iter().find(is_it).map(|view| view.timeout_s).ok_or(EIO)
    };
    Ok(Config {
        tcp_s: of(Protocol::Tcp, words::TCP_STATE)?,
        tcp_fin_s: of(Protocol::Tcp, words::TCP_FIN_STATE)?,
        udp_s: of(Protocol::Udp, words::UDP_STATE)?,
    })
}

/// How many connections there can be: rvs has as many places as that.
fn table_size(handler: &dyn Handler) -> Result<u32, i32> {
    let Ok(Reply::Total(total)) = ask(handler, api::Request::TotalShow) else { return Err(EIO) };
    Ok(u32::try_from(total.connections_limit).unwrap_or(u32::MAX))
}
