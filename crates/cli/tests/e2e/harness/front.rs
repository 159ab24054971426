//! What stands between a person and an index without lying: TLS, a password, a company's proxy.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use waxseal_testkit::peers::{self, CleanCommand};

use super::index::Index;
use super::process::Process;

/// A front, as `data/front.py` is one; stops when dropped.
pub(crate) struct Front {
    folder: TempDir,
    port: String,
    _process: Process,
}

impl Front {
    /// Before an index, with these options of the script.
    pub(crate) fn start(index: &Index, options: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), index, options)
    }

    /// With a certificate for `localhost` of its own, which nobody trusts who is not told to.
    pub(crate) fn with_tls(index: &Index) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [key, certificate] =
            ["key.pem", "certificate.pem"].map(|name| folder.path().join(name));
        let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                     -subj /CN=localhost -addext subjectAltName=DNS:localhost \
                     -addext basicConstraints=critical,CA:FALSE -keyout";
        let make = CleanCommand::new("openssl").args(words.split_whitespace());
        make.arg(&key).arg("-out").arg(&certificate).run().success();
        let files = [&certificate, &key].map(|file| file.to_str().unwrap().to_owned());
        Self::start_in(folder, index, &["--tls", &files[0], &files[1]])
    }

    fn start_in(folder: TempDir, index: &Index, options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/data/front.py");
        let command = CleanCommand::new(peers::python()).arg(script).arg(folder.path().join("log"));
        let process = Process::start(command.arg(&index.url).args(options));
        process.wait_for(&process.stdout, "\n");
        let port = process.stdout.text().trim().to_owned();
        Self { folder, port, _process: process }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// With TLS.
    pub(crate) fn secure_url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// Every request that it got, its headers included.
    pub(crate) fn requests(&self) -> Vec<serde_json::Value> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
