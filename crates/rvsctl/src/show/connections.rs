//! The list of connections, piece by piece.

use api::{ConnFlags, ConnView};

use super::or_none;
use crate::table::Table;

/// A list that is written while it arrives. Columns have room for IPv4 from the start and widen when they must.
#[derive(Debug)]
pub enum Connections {
    Table(Table),
    /// As [`api::Reply::Connections`] is written; whether a connection has been.
    Json {
        begun: bool,
    },
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
        Connections::Table(table.widen(2, "ESTABLISHED".len()).widen(7, "fullnat".len()))
    }

    /// Whether nothing has been written yet.
    pub fn is_untouched(&self) -> bool {
        matches!(self, Connections::Json { begun: false })
    }

    /// The text of further connections.
    pub fn part(&mut self, connections: &[ConnView]) -> String {
        match self {
            Connections::Table(table) => {
                connections.iter().for_each(|connection| table.row(cells(connection)));
                table.take()
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

    /// What comes after the last connection.
    pub fn end(&self) -> String {
        match self {
            Connections::Table(_) => String::new(),
            Connections::Json { begun } => format!("{}]}}\n", if *begun { "" } else { START }),
        }
    }
}

const START: &str = "{\"connections\":[";

fn cells(connection: &ConnView) -> [String; 11] {
    let seconds = connection.expires_in_ms.div_ceil(1000);
    let ConnFlags { inactive, no_destination } = connection.flags;
    let flags = [(inactive, "inactive"), (no_destination, "no-destination")];
    let flags: Vec<&str> = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
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
