//! FTP [ip_vs_ftp]: what is said on a control connection, and the data connection that follows from it.
//!
//! | said | by | then expected |
//! | --- | --- | --- |
//! | `PORT`, `EPRT` | client | from the server's port below that of its control connection (20), to the client's port that it names |
//! | `227`, `229` after `PASV`, `EPSV` | server | from the client, from any port, to the virtual address at the server's port |
//!
//! As in Linux, only connections that are ESTABLISHED are listened to, and only what is whole in one segment, and at its
//! start but for `PASV` and `EPSV`, is heard.
//!
//! Other than in Linux nobody can name a third host: a client that had the server connect to others through the virtual
//! address, and a server that had clients led to others, would use rvs for an attack (RFC 2577). Such words pass as they are,
//! and nothing is expected. And under FULLNAT, which Linux does not have, the server must hear from the client the address that
//! it knows it by: `PORT` and `EPRT` name the local address and a port of it there.

mod words;

use core::net::IpAddr;

use wire::Family;

pub(crate) use words::{Form, written};
use words::{Named, active_command, passive_command, passive_reply};

/// What of a control connection its data says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing about data connections.
    Nothing,
    /// The server is to listen, and will say where in this form.
    Passive(Form),
    /// The client listens.
    ClientListens(Named),
    /// The server listens.
    ServerListens(Named),
    /// The client, or the server, names somebody else.
    ThirdHost,
}

/// What a client's segment says. `client` is whom it comes from.
pub(crate) fn client_says(data: &[u8], family: Family, client: IpAddr) -> Heard {
    if let Some(form) = passive_command(data, family) {
        return Heard::Passive(form);
    }
    match active_command(data, family) {
        Some(named) if named.addr == Some(client) => Heard::ClientListens(named),
        Some(_) => Heard::ThirdHost,
        None => Heard::Nothing,
    }
}

/// What a server's segment says, of which an answer in `form` is awaited. It may name itself, or the virtual address if it
/// knows of that.
pub(crate) fn server_says(data: &[u8], form: Form, family: Family, own: [IpAddr; 2]) -> Heard {
    match passive_reply(data, form, family) {
        Some(named) if named.addr.is_none_or(|addr| own.contains(&addr)) => Heard::ServerListens(named),
        Some(_) => Heard::ThirdHost,
        None => Heard::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(addr: &str) -> IpAddr {
        addr.parse().expect("an address")
    }

    #[test]
    fn clients_name_themselves_only() {
        for (data, want) in [
            ("PASV\r\n", "passive"),
            ("PORT 198,51,100,1,200,14\r\n", "client"),
            ("PORT 203,0,113,77,200,14\r\n", "third"),
            ("EPRT |1|203.0.113.77|80|\r\n", "third"),
            ("NOOP\r\n", "nothing"),
        ] {
            let got = match client_says(data.as_bytes(), Family::V4, ip("198.51.100.1")) {
                Heard::Passive(Form::Numbers) => "passive",
                Heard::ClientListens(named) => {
                    assert_eq!(named.port, 51214);
                    "client"
                }
                Heard::ThirdHost => "third",
                Heard::Nothing => "nothing",
                other => panic!("{other:?}"),
            };
            assert_eq!(got, want, "{data:?}");
        }
    }

    #[test]
    fn servers_name_themselves_or_the_virtual_address() {
        let own = [ip("10.0.2.11"), ip("192.0.2.100")];
        for (form, data, listens) in [
            (Form::Numbers, "227 ok (10,0,2,11,200,13)\r\n", true),
            (Form::Numbers, "227 ok (192,0,2,100,200,13)\r\n", true),
            (Form::Numbers, "227 ok (10,0,2,12,200,13)\r\n", false),
            (Form::Delimited, "229 ok (|||51213|)\r\n", true),
            (Form::Delimited, "229 ok (|1|10.0.2.12|51213|)\r\n", false),
        ] {
            let heard = server_says(data.as_bytes(), form, Family::V4, own);
            assert_eq!(matches!(heard, Heard::ServerListens(_)), listens, "{data:?}");
            assert_eq!(heard == Heard::ThirdHost, !listens, "{data:?}");
        }
        assert_eq!(server_says(b"229 ok (|||1|)\r\n", Form::Numbers, Family::V4, own), Heard::Nothing);
    }
}
