//! Replies as text for people.
//!
//! Everything here is a pure function of a reply. Units are in the titles; counters are whole numbers, so that
//! two tables can be compared.

mod connections;
mod counters;
mod marks;
mod network;
mod services;
mod sync;
mod sysctls;
mod trace;

use api::{Applied, ChangeKind, Reply};

pub use connections::Connections;

/// Which form of a reply is wanted, where it has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Usual,
    /// All that is known of few things.
    Details,
    /// What was counted.
    Counters,
    /// Whether a set has an address.
    Member(std::net::IpAddr),
    /// Names and values only.
    Values,
    /// How much there is of it in a second.
    Rates,
    /// Without what is zero.
    NonZero,
    /// What has been done by a request whose reply does not say.
    Done(&'static str),
}

impl View {
    /// The part of a reply that was asked for, in JSON too.
    pub fn select(self, reply: Reply) -> Reply {
        match (self, reply) {
            (View::NonZero, Reply::Drops(mut drops)) => {
                drops.retain(|drop| drop.count > 0);
                Reply::Drops(drops)
            }
            (View::NonZero, Reply::Sync(sync)) => Reply::Sync(sync::non_zero(sync)),
            (_, reply) => reply,
        }
    }
}

/// A reply as lines.
pub fn text(reply: &Reply, view: View) -> String {
    match (reply, view) {
        (Reply::Applied(applied), _) => changes(applied, view),
        (Reply::Services(all), View::Details) => services::details(all),
        (Reply::Services(all), View::Counters) => services::traffic(all),
        (Reply::Services(all), View::Rates) => services::rates(all),
        (Reply::Services(all), _) => services::list(all),
        (Reply::Destinations(all), _) => services::destinations(all),
        (Reply::Pools(all), _) => network::pools(all),
        (Reply::Addresses(all), _) => network::addresses(all),
        (Reply::Routes(all), _) => network::routes(all),
        (Reply::Neighbours(all), _) => network::neighbours(all),
        (Reply::Connections(all), _) => {
            let mut list = Connections::new(false);
            list.part(all) + &list.end()
        }
        (Reply::ConnCount(count), View::Done(done)) => format!("{} {done}\n", count.connections),
        (Reply::ConnCount(count), _) => format!("{}\n", count.connections),
        (Reply::Workers(all), View::Counters) => counters::worker_packets(all),
        (Reply::Workers(all), _) => counters::workers(all),
        (Reply::Ports(all), View::Counters) => counters::port_packets(all),
        (Reply::Ports(all), _) => counters::ports(all),
        (Reply::Drops(all), _) => counters::drops(all),
        (Reply::Total(total), _) => counters::total(total),
        (Reply::Sync(sync), View::Counters | View::NonZero) => sync::counters(sync),
        (Reply::Trace(view), _) => trace::part(view),
        (Reply::Sync(sync), _) => sync::daemons(sync),
        (Reply::Sysctls(all), View::Values) => sysctls::values(all),
        (Reply::Sysctls(all), _) => sysctls::list(all),
        (Reply::Marks(all), _) => marks::rules(all),
        (Reply::Sets(all), View::Member(address)) => marks::member(all, address),
        (Reply::Sets(all), _) => marks::sets(all),
        (Reply::Timeouts(all), _) => sysctls::timeouts(all),
        (Reply::Config(config), _) => config.text.clone(),
        (Reply::Checked(_), _) => "the configuration is good\n".to_owned(),
    }
}

/// One line for each thing that changed.
fn changes(applied: &Applied, view: View) -> String {
    if applied.changes.is_empty() {
        let done = if let View::Done(done) = view { done } else { "nothing to change" };
        return format!("{done}\n");
    }
    let line = |change: &api::Change| {
        let kind = match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Changed => "changed",
            ChangeKind::Removed => "removed",
        };
        match &change.detail {
            Some(detail) => format!("{kind} {}: {detail}\n", change.item),
            None => format!("{kind} {}\n", change.item),
        }
    };
    applied.changes.iter().map(line).collect()
}

/// What stands in a cell without a value.
const NONE: &str = "-";

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests;
