//! A real web server: stock nginx with a configuration, a pid file and temporary folders of its own.

use std::path::Path;

use crate::error::{Context, Result};
use crate::netns::Namespace;
use crate::process::Process;

/// The ports it listens on, in both families.
pub const PORTS: [u16; 2] = [80, 8080];

/// The header that names the server which answered.
pub const SERVER_HEADER: &str = "x-server";

/// The size of the file `/files/large`, in bytes.
pub const LARGE_BYTES: usize = 4 << 20;

/// Starts nginx in `namespace`, with its files below `dir`. It answers every path with `name`, closes the
/// connection after each answer so that every request is a connection of its own, and serves `/files/large`.
pub fn start(namespace: &Namespace, name: &str, dir: &Path) -> Result<Process> {
    let home = dir.join(format!("nginx-{name}"));
    let files = home.join("files");
    std::fs::create_dir_all(&files).context(files.display())?;
    let large: Vec<u8> = (0..LARGE_BYTES).map(|i| (i % 251) as u8).collect();
    std::fs::write(files.join("large"), large)?;
    let conf = home.join("nginx.conf");
    std::fs::write(&conf, configuration(name, &home)).context(conf.display())?;
    let mut command = namespace.command("nginx");
    command.arg("-p").arg(&home).arg("-c").arg(&conf).arg("-e").arg(home.join("error.log"));
    Process::spawn(&format!("nginx {name}"), &mut command, &home.join("output.log"))
}

fn configuration(name: &str, home: &Path) -> String {
    let home = home.display();
    let listen: String = PORTS
        .iter()
        .map(|port| format!("    listen {port} backlog=4096;\n    listen [::]:{port} backlog=4096;\n"))
        .collect();
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {home}/nginx.pid;\nerror_log {home}/error.log;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n  access_log off;\n  keepalive_timeout 0;\n  default_type text/plain;\n  sendfile on;\n\
         client_body_temp_path {home}/body;\n  proxy_temp_path {home}/proxy;\n  fastcgi_temp_path {home}/fastcgi;\n\
         uwsgi_temp_path {home}/uwsgi;\n  scgi_temp_path {home}/scgi;\n\
         add_header {SERVER_HEADER} {name} always;\n\
         server {{\n{listen}    root {home};\n    location / {{ return 200 \"{name}\\n\"; }}\n    location /files/ {{ }}\n  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_its_own_folder_only() {
        let text = configuration("rs1", Path::new("/somewhere"));
        assert!(text.contains("return 200 \"rs1\\n\""));
        assert_eq!(text.matches("listen ").count(), 2 * PORTS.len());
        assert!(text.matches("/somewhere").count() >= 8 && !text.contains("/var/"));
    }
}
