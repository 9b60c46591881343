//! The list of connections, piece by piece.

use api::{ConnFlags, ConnView};

use super::or_none;
use crate::table::Table;

/// So many connections are looked at before the first is written: a list that somebody reads has the same columns from its
/// first line to its last.
const HELD_BACK: usize = 4096;

/// A list that is written while it arrives. Columns have room for IPv4 from the start, and for the longest of what is held
/// back; behind that they widen when they must.
#[derive(Debug)]
pub enum Connections {
    Table {
        table: Table,
        /// Connections so far.
        seen: usize,
    },
    /// As [`api::Reply::Connections`] is written; whether a connection has been.
    Json { begun: bool },
}

impl Connections {
    pub fn new(json: bool) -> Connections {
        if json {
            return Connections::Json { begun: false };
        }
        let table = Table::new([
            "Prot",
            ">Expires",
            "State",
            "Client",
            "Service",
            "Local",
            "Destination",
            "Forward",
            ">Packets",
            ">Worker",
            "Flags",
        ]);
        let endpoint = "255.255.255.255:65535".len();
        let table = (3..=6).fold(table, |table, column| table.widen(column, endpoint));
        let table = table.widen(2, "ESTABLISHED".len()).widen(7, "fullnat".len());
        Connections::Table { table, seen: 0 }
    }

    /// Whether nothing has been written yet.
    pub fn is_untouched(&self) -> bool {
        matches!(self, Connections::Json { begun: false })
    }

    /// The text of further connections, as far as it is not held back.
    pub fn part(&mut self, connections: &[ConnView]) -> String {
        match self {
            Connections::Table { table, seen } => {
                connections.iter().for_each(|connection| table.row(cells(connection)));
                *seen += connections.len();
                if *seen < HELD_BACK { String::new() } else { table.take() }
            }
            Connections::Json { begun } => {
                let mut text = String::new();
                for connection in connections {
                    text.push_str(if *begun { "," } else { START });
                    *begun = true;
                    text.push_str(&serde_json::to_string(connection).expect("a view is plain data"));
                }
                text
            }
        }
    }

    /// What is held back of a list that broke off.
    pub fn broken(&mut self) -> String {
        match self {
            Connections::Table { table, seen: 1.. } => table.take(),
            Connections::Table { .. } | Connections::Json { .. } => String::new(),
        }
    }

    /// What comes after the last connection.
    pub fn end(&mut self) -> String {
        match self {
            Connections::Table { table, .. } => table.take(),
            Connections::Json { begun } => format!("{}]}}\n", if *begun { "" } else { START }),
        }
    }
}

const START: &str = "{\"connections\":[";

fn cells(connection: &ConnView) -> [String; 11] {
    let seconds = connection.expires_in_ms.div_ceil(1000);
    // Destructured, so that a new flag cannot be forgotten here; whether replies pass follows from the method.
    let ConnFlags {
        inactive,
        no_destination,
        template,
        one_packet,
        no_client_port,
        no_output: _,
        synchronised,
    } = connection.flags;
    let flags = [
        // A template is no load, active or not.
        (inactive && !template, "inactive"),
        (no_destination, "no-destination"),
        (template, "template"),
        (one_packet, "one-packet"),
        (no_client_port, "no-client-port"),
        (synchronised, "synchronised"),
    ];
    let mut flags: Vec<String> =
        flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned()).collect();
    let numbers = [("fwmark", connection.fwmark), ("controls", connection.controls)];
    flags.extend(numbers.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name}={n}")));
    flags.extend(connection.call_id.iter().map(|id| format!("call={id}")));
    [
        connection.protocol.to_string(),
        format!("{:02}:{:02}", seconds / 60, seconds % 60),
        connection.state.clone(),
        connection.client.to_string(),
        connection.service.to_string(),
        or_none(connection.local),
        connection.destination.to_string(),
        connection.method.to_string(),
        connection.packets_in.to_string(),
        connection.worker.to_string(),
        flags.join(","),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(client: &str) -> ConnView {
        ConnView {
            worker: 0,
            protocol: api::ConnProtocol::Tcp,
            client: client.parse().unwrap(),
            service: "192.0.2.100:80".parse().unwrap(),
            local: None,
            destination: "10.0.2.11:80".parse().unwrap(),
            method: api::ConnMethod::Dr,
            state: "ESTABLISHED".into(),
            expires_in_ms: 900_000,
            packets_in: 1,
            flags: ConnFlags::default(),
            fwmark: 0,
            controls: 0,
            call_id: None,
        }
    }

    #[test]
    fn a_long_address_in_a_later_part_moves_no_column() {
        let long = "[2001:db8:1111:2222:3333:4444:5555:6666]:40000";
        let mut list = Connections::new(false);
        let parts = [connection("198.51.100.7:40000"), connection(long)].map(|c| list.part(&[c]));
        let text = parts.concat() + &list.end();
        let at: Vec<Option<usize>> = text.lines().skip(1).map(|line| line.find("192.0.2.100:80")).collect();
        assert_eq!((at.len(), at[0].is_some(), at[0]), (2, true, at[1]), "{text}");
    }

    #[test]
    fn a_list_begins_before_it_has_arrived_and_loses_nothing_when_it_breaks_off() {
        let some = vec![connection("198.51.100.7:40000"); HELD_BACK - 1];
        let mut list = Connections::new(false);
        assert_eq!(list.broken(), "", "no titles for nothing");
        assert_eq!(list.part(&some), "");
        assert_eq!(list.part(&some[..1]).lines().count(), HELD_BACK + 1);
        assert_eq!(list.part(&some[..7]).lines().count(), 7);
        assert_eq!(list.broken(), "");
        let mut list = Connections::new(false);
        list.part(&some);
        assert_eq!(list.broken().lines().count(), HELD_BACK);
    }
}
