//! Tunables and timeouts.

use api::{SysctlView, TimeoutView};

use crate::table::Table;

/// `sysctl list`.
pub fn list(sysctls: &[SysctlView]) -> String {
    let mut table = Table::new(["Name", ">Value", ">Default", "Range", "What it does"]);
    for sysctl in sysctls {
        let help = match &sysctl.without_effect {
            Some(why) => format!("Nothing: {why}."),
            None => sysctl.help.clone(),
        };
        table.row([
            sysctl.name.to_string(),
            sysctl.value.to_string(),
            sysctl.default.to_string(),
            sysctl.range.clone(),
            help,
        ]);
    }
    table.take()
}

/// `sysctl get`: as sysctl(8) prints them.
pub fn values(sysctls: &[SysctlView]) -> String {
    sysctls.iter().map(|sysctl| format!("{} = {}\n", sysctl.name, sysctl.value)).collect()
}

/// `timeout list`.
pub fn timeouts(timeouts: &[TimeoutView]) -> String {
    let mut table = Table::new(["Prot", "State", ">Seconds", ">Default"]);
    for timeout in timeouts {
        let (seconds, default) = (timeout.timeout_s.to_string(), timeout.default_s.to_string());
        table.row([timeout.protocol.to_string(), timeout.state.clone(), seconds, default]);
    }
    table.take()
}
