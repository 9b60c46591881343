//! Packets of connections that have a helper, on their way [ip_vs_app_pkt_in, ip_vs_app_pkt_out].
//!
//! They have a route, and their addresses are still those that they came with. A helper hears what they say, makes the
//! connections that follow from it, and has text replaced; sequence and acknowledgement numbers follow in all packets
//! from then on, in both directions, in blocks of selectively acknowledged bytes too.

use conntab::{ConnId, Direction};
use inet::{DropReason, IcmpError};
use wire::{Family, Fragment, PacketBuf, PacketInfo, splice, tcp};

use super::ftp::{self, Heard};
use super::sequence::{Replacement, Sequence};
use super::session::{Awaited, Session, SessionIndex};
use super::{Helper, tftp};
use crate::connection::{Connection, FlowKey};
use crate::control::Expected;
use crate::director::Core;
use crate::hooks::Context;
use crate::protocol::tcp::TcpState;
use crate::xmit::translate;
use crate::{Protocol, Service, Verdict};

impl Core {
    /// Gives a connection that has just been made its helper, if its service has one for it [ip_vs_bind_app]. Without room
    /// for what the helper has to remember the connection is taken back.
    pub(crate) fn bind_helper<K: FlowKey>(
        &mut self,
        service: &Service,
        id: ConnId,
    ) -> Result<(), DropReason> {
        let Some(conn) = K::table(&self.tables).get(id) else { return Ok(()) };
        let helper = service.helpers.at(conn.protocol(), conn.original.dport());
        let Some(helper) = helper.filter(|_| conn.may_have_helper()) else { return Ok(()) };
        let bound = self.side_of::<K>(id).map(|at| {
            if let Some(side) = self.side.get_mut(at) {
                side.session = Some(self.sessions.insert(helper));
            }
        });
        if bound.is_err() {
            self.remove::<K>(id);
        }
        bound
    }

    /// The session of a connection that has a helper.
    pub(super) fn session_of<K: FlowKey>(&self, conn: &Connection<K>) -> Option<SessionIndex> {
        self.side.get(conn.side)?.session
    }

    /// Lets a connection's helper have a packet. Returns what the packet is to be parsed as then; or what becomes of it.
    pub(crate) fn help<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        conn: &Connection<K>,
        direction: Direction,
    ) -> Result<PacketInfo, Verdict> {
        let Some(at) = self.session_of(conn).filter(|_| info.fragment == Fragment::No) else {
            return Ok(*info);
        };
        match self.sessions.get(at).map(|session| session.helper) {
            Some(Helper::Ftp) => return self.help_ftp(context, packet, info, conn, direction, at),
            Some(Helper::Tftp) => {
                let asks = direction == Direction::Original && tftp::is_request(info.upper(packet.bytes()));
                self.sessions.get_mut(at).filter(|_| asks).into_iter().for_each(Session::await_transfer);
            }
            Some(Helper::Pptp) => {
                self.hear_pptp(context, packet.bytes(), info, conn, direction).map_err(Verdict::Drop)?;
            }
            None => {}
        }
        Ok(*info)
    }

    fn keep(&mut self, at: SessionIndex, session: Session) {
        if let Some(kept) = self.sessions.get_mut(at) {
            *kept = session;
        }
    }

    fn help_ftp<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        conn: &Connection<K>,
        direction: Direction,
        at: SessionIndex,
    ) -> Result<PacketInfo, Verdict> {
        let Some(mut session) = self.sessions.get(at).copied() else { return Ok(*info) };
        if !tcp::verify_checksum(packet.bytes(), info) {
            // As in Linux: what is damaged is not believed, and a computed checksum would hide that it was.
            return Err(Verdict::Drop(DropReason::TcpBadChecksum));
        }
        let segment = info.upper(packet.bytes());
        let (seq, data) = (tcp::seq(segment), tcp::payload(segment));
        let again = session.stream(direction).again(seq, data.len());
        let mut news = None;
        if again.is_none() && !data.is_empty() && session.stream(direction).is_news(seq) {
            news = self
                .hear_ftp(context, data, conn, direction, &mut session)
                .map_err(Verdict::Drop)?
                .filter(|new| data.get(new.range.clone()) != Some(new.text.as_bytes()));
        }
        if let Some(what) = again.as_ref().or(news.as_ref()) {
            self.bear(context, packet, info, conn.translated(direction).dst().into(), what)?;
        }
        if let Some(new) = &news {
            session.stream_mut(direction).replace(seq, new);
        }
        self.keep(at, session);
        let (own, other) = match direction {
            Direction::Original => (&session.input, &session.output),
            Direction::Reply => (&session.output, &session.input),
        };
        renumber(info.upper_mut(packet.bytes_mut()), own, other);
        match again.or(news) {
            Some(Replacement { range, text }) => splice::replace(packet, info, range, text.as_bytes())
                .map_err(|_| Verdict::Drop(DropReason::NoHeadroom)),
            None => Ok(*info),
        }
    }

    /// Does what a segment of an FTP control connection asks for. Returns what has to be replaced in it.
    fn hear_ftp<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        data: &[u8],
        conn: &Connection<K>,
        direction: Direction,
        session: &mut Session,
    ) -> Result<Option<Replacement>, DropReason> {
        if conn.state != TcpState::Established.into() {
            return Ok(None);
        }
        let (client, virtual_addr) = (conn.original.src(), conn.original.dst());
        let heard = match (direction, session.awaited) {
            (Direction::Original, _) => ftp::client_says(data, K::FAMILY, client.into()),
            (Direction::Reply, Some(Awaited::Listening(form))) => {
                ftp::server_says(data, form, K::FAMILY, [conn.reply.src().into(), virtual_addr.into()])
            }
            (Direction::Reply, _) => Heard::Nothing,
        };
        let number = conn.original.protocol_number();
        match heard {
            Heard::Nothing => return Ok(None),
            Heard::Passive(form) => session.awaited = Some(Awaited::Listening(form)),
            Heard::ThirdHost => {
                session.awaited = None;
                self.own().count_third_host();
            }
            Heard::ClientListens(named) => {
                session.awaited = None;
                let port = conn.original.dport().wrapping_sub(1);
                let original = K::new(client, virtual_addr, named.port, port, number);
                let server_port = conn.reply.sport().wrapping_sub(1);
                let expected = self.expect_data(context, conn, original, server_port)?;
                if let Some(reply) = expected.filter(|_| conn.is_fullnat()) {
                    let text = ftp::written(named.form, Some(reply.dst().into()), reply.dport());
                    return Ok(text.map(|text| Replacement { range: named.range, text }));
                }
            }
            Heard::ServerListens(named) => {
                session.awaited = None;
                let original = K::new(client, virtual_addr, 0, named.port, number);
                self.expect_data(context, conn, original, named.port)?;
                let addr = Some(virtual_addr.into()).filter(|_| named.form == ftp::Form::Numbers);
                let text = ftp::written(named.form, addr, named.port);
                return Ok(text.map(|text| Replacement { range: named.range, text }));
            }
        }
        Ok(None)
    }

    /// Expects a data connection. Returns what its server's packets will carry.
    fn expect_data<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        conn: &Connection<K>,
        original: K,
        server_port: u16,
    ) -> Result<Option<K>, DropReason> {
        let by = K::table(&self.tables).lookup_in(&conn.original, Direction::Original);
        let Some(by) = by else { return Ok(None) };
        let state = TcpState::Listen.into();
        let expected = Expected {
            original,
            server: (conn.reply.src(), server_port),
            state,
            timeout_ms: Protocol::Tcp.timeout_ms(state, &context.snapshot.timeouts),
        };
        let id = self.expect(context, by, &expected)?;
        Ok(K::table(&self.tables).get(id).map(|conn| conn.reply))
    }

    /// Whether the way to `target` bears a packet that grows. If not, its sender is told what will fit.
    fn bear<B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        target: core::net::IpAddr,
        what: &Replacement,
    ) -> Result<(), Verdict> {
        let growth = what.text.as_bytes().len().saturating_sub(what.range.len());
        let mtu = usize::from(context.snapshot.net.route(target).map_or(u16::MAX, |hop| hop.mtu));
        let may_split = info.family == Family::V4 && !translate::dont_fragment(packet.bytes(), info);
        if growth == 0 || info.ip_len() + growth <= mtu || may_split {
            return Ok(());
        }
        let kind = IcmpError::FragmentationNeeded { mtu: mtu.saturating_sub(growth) as u16 };
        Err(self.answer(context, packet, info, kind, DropReason::MtuExceeded, None))
    }
}

impl Session {
    fn await_transfer(&mut self) {
        self.awaited = Some(Awaited::Transfer);
    }

    /// What was replaced in one direction.
    fn stream(&self, direction: Direction) -> &Sequence {
        match direction {
            Direction::Original => &self.input,
            Direction::Reply => &self.output,
        }
    }

    fn stream_mut(&mut self, direction: Direction) -> &mut Sequence {
        match direction {
            Direction::Original => &mut self.input,
            Direction::Reply => &mut self.output,
        }
    }
}

/// Gives a segment the numbers that its receiver counts by: its own by what was replaced in its stream, those that it
/// acknowledges by what was replaced in the other [vs_fix_seq, vs_fix_ack_seq].
fn renumber(segment: &mut [u8], own: &Sequence, other: &Sequence) {
    if !own.is_plain() {
        tcp::set_seq(segment, own.forth(tcp::seq(segment)));
    }
    if !other.is_plain() && tcp::flags(segment) & tcp::ACK != 0 {
        tcp::set_ack(segment, other.back(tcp::ack(segment)));
        tcp::map_sack(segment, |from, to| (other.back_from(from), other.back(to)));
    }
}
