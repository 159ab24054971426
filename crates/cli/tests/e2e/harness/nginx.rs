//! nginx, as `contrib/nginx-mirror.conf` has it serve a mirror.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use waxseal_testkit::peers::CleanCommand;

use super::process::Process;

/// Debian's, which is not on the path of users.
const NGINX: &str = "/usr/sbin/nginx";

/// A web server that knows nothing of Waxseal; stopped when dropped.
pub(crate) struct Nginx {
    /// Without a slash at its end.
    pub(crate) url: String,
    _process: Process,
    _folder: TempDir,
}

impl Nginx {
    /// Serves a folder on a free port of the loopback interface.
    pub(crate) fn serving(mirror: &Path) -> Self {
        assert!(Path::new(NGINX).exists(), "missing peer nginx: run `cargo xtask peers`");
        // Another process may take the port before nginx does.
        (0..5).find_map(|_| Self::start(mirror)).expect("nginx does not start")
    }

    fn start(mirror: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib/nginx-mirror.conf");
        let server = fs::read_to_string(file).unwrap();
        assert!(server.contains("listen 80;") && server.contains("root /srv/mirror;"));
        let server = server.replace("listen 80;", &format!("listen {address};"));
        let server = server.replace("/srv/mirror", mirror.to_str().unwrap());
        fs::write(folder.path().join("mirror.conf"), server).unwrap();
        let here = folder.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {here}/{name};"));
        let main = format!(
            "user root; daemon off; master_process off; pid {here}/pid; error_log stderr;\n\
             events {{}}\nhttp {{ access_log off; {} include {here}/mirror.conf; }}\n",
            temporary.join(" ")
        );
        fs::write(folder.path().join("nginx.conf"), main).unwrap();
        let command = CleanCommand::new(NGINX).arg("-e").arg("stderr").arg("-c");
        let mut process = Process::start(command.arg(folder.path().join("nginx.conf")));
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let is_late = begun.elapsed() > Duration::from_secs(20);
            if process.has_ended() || is_late {
                eprintln!("nginx: {}", process.screen());
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { url: format!("http://{address}"), _process: process, _folder: folder })
    }
}
