//! Manual pages: rvsctl(8) from the command line itself, rvsd(8) and rvsd.toml(5) from the guide, so that they cannot differ from either.

mod roff;

use std::io;

use clap::{CommandFactory, ValueEnum};
use clap_mangen::Man;

use crate::args::Cli;

/// A manual page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Page {
    /// rvsctl(8): this program.
    Rvsctl,
    /// rvsd(8): the daemon.
    Rvsd,
    /// rvsd.toml(5): its configuration file.
    #[value(name = "rvsd.toml")]
    RvsdToml,
}

const RVSD: &str = include_str!("../../../docs/rvsd.md");
const RVSD_TOML: &str = include_str!("../../../docs/configuration.md");
const SEE_ALSO: &str = ".SH SEE ALSO\n.BR rvsd (8),\n.BR rvsctl (8),\n.BR rvsd.toml (5)\n";

impl Page {
    /// What man(1) reads.
    pub fn text(self) -> io::Result<Vec<u8>> {
        let about = |section, name, about, guide| {
            let head = roff::head(name, section, about);
            Ok(format!("{head}{}{SEE_ALSO}", roff::from_markdown(guide)).into_bytes())
        };
        match self {
            Page::Rvsctl => rvsctl(),
            Page::Rvsd => about(8, "rvsd", "layer-4 load balancer on DPDK", RVSD),
            Page::RvsdToml => about(5, "rvsd.toml", "configuration of rvsd", RVSD_TOML),
        }
    }
}

/// The whole command line: the general part, then each command with its arguments.
fn rvsctl() -> io::Result<Vec<u8>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let man = Man::new(command.clone()).title("RVSCTL").section("8");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    page.extend_from_slice(b".SH COMMANDS\n");
    commands(&command, "", &mut page)?;
    page.extend_from_slice(b".SH EXAMPLES AND EXIT CODES\n");
    as_it_is(&man, &mut page)?;
    page.extend_from_slice(SEE_ALSO.as_bytes());
    Ok(page)
}

/// Every command below `command` that does something by itself.
fn commands(command: &clap::Command, path: &str, page: &mut Vec<u8>) -> io::Result<()> {
    for inner in command.get_subcommands() {
        let path = format!("{path}{} ", inner.get_name());
        if inner.has_subcommands() {
            commands(inner, &path, page)?;
            if inner.is_subcommand_required_set() {
                continue;
            }
        }
        page.extend_from_slice(format!(".SS {}\n", roff::escaped(path.trim_end())).as_bytes());
        // What every command has is told once.
        let own = inner.clone().disable_help_flag(true).mut_args(|arg| {
            let everywhere = matches!(arg.get_id().as_str(), "help" | "json");
            arg.hide(everywhere)
        });
        let man = Man::new(own);
        let mut section = Vec::new();
        man.render_synopsis_section(&mut section)?;
        section.extend_from_slice(b".PP\n");
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        body(&section, page);
        as_it_is(&man, page)?;
    }
    Ok(())
}

/// Examples and the like, whose lines are to stay.
fn as_it_is(man: &Man, page: &mut Vec<u8>) -> io::Result<()> {
    let mut section = Vec::new();
    man.render_extra_section(&mut section)?;
    page.extend_from_slice(b".PP\n.nf\n");
    body(&section, page);
    page.extend_from_slice(b".fi\n");
    Ok(())
}

/// A section without its heading, which would end the list of commands, and without the preamble that the page has.
fn body(section: &[u8], page: &mut Vec<u8>) {
    let outer: [&[u8]; 3] = [b".SH ", b".ie ", b".el "];
    let lines = section.split_inclusive(|b| *b == b'\n');
    let inner = lines.filter(|line| !outer.iter().any(|outer| line.starts_with(outer)));
    inner.for_each(|line| page.extend_from_slice(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: Page) -> String {
        String::from_utf8(page.text().unwrap()).unwrap()
    }

    #[test]
    fn rvsctl_has_every_command_with_its_options() {
        let page = text(Page::Rvsctl);
        let wanted =
            [".SS service add\n", ".SS sysctl set\n", "netmask", "tun\\-port", "Exit codes", ".SH SEE ALSO"];
        for wanted in wanted {
            assert!(page.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn the_file_s_page_has_every_table_and_key_of_the_guide() {
        let page = text(Page::RvsdToml);
        for line in RVSD_TOML.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                let heading = roff::inline(heading);
                assert!(page.contains(&format!(".SH {heading}\n")), "{heading}");
            }
            if let Some(key) = line.strip_prefix("| `").and_then(|row| row.split('`').next()) {
                assert!(page.contains(&roff::escaped(key)), "{key}");
            }
        }
    }

    #[test]
    fn the_daemon_s_page_has_its_options_and_signals() {
        let page = text(Page::Rvsd);
        for wanted in ["\\-\\-config", "\\-\\-check", "SIGHUP", "SIGTERM", "/etc/rvs/rvsd.toml"] {
            assert!(page.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn no_line_of_a_page_is_a_request_by_accident() {
        let requests = [
            ".TH", ".SH", ".SS", ".PP", ".TP", ".IP", ".nf", ".fi", ".RS", ".RE", ".BR", ".ie", ".el", ".br",
            ".\\\"",
        ];
        for page in [Page::Rvsctl, Page::Rvsd, Page::RvsdToml] {
            for line in text(page).lines().filter(|line| line.starts_with(['.', '\''])) {
                assert!(requests.iter().any(|request| line.starts_with(request)), "{page:?}: {line}");
            }
        }
    }
}
