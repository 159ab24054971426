//! Debian packages that the tests need: installed where we may, named where we may not.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::command::{command, output, run, succeeds};

/// Something a Debian package brings, and how to see that it is there.
struct Need {
    package: &'static str,
    probe: &'static [&'static str],
}

const NEEDS: &[Need] = &[
    Need { package: "python3", probe: &["python3", "--version"] },
    // Debian splits `ensurepip` off; without it `python3 -m venv` fails half-way.
    Need { package: "python3-venv", probe: &["python3", "-c", "import ensurepip, venv"] },
    // Reads and writes the key files that ours are compared with.
    Need { package: "openssl", probe: &["openssl", "version"] },
    // For metadata that has expired, without waiting a day.
    Need { package: "faketime", probe: &["faketime", "--version"] },
    // What the documentation of the API speaks to it with.
    Need { package: "curl", probe: &["curl", "--version"] },
    // A token in software, and what sets one up.
    Need { package: "softhsm2", probe: &["softhsm2-util", "--version"] },
    // Makes keys on it that ours have to find.
    Need { package: "opensc", probe: &["opensc-tool", "--version"] },
    // What serves a mirror, with nothing of ours.
    Need { package: "nginx-light", probe: &["/usr/sbin/nginx", "-v"] },
    // Ends a program at any system call.
    Need { package: "strace", probe: &["strace", "--version"] },
];

/// Installs what is missing, as root on Debian; otherwise fails with the command that does.
pub(crate) fn install() -> Result<()> {
    let missing: Vec<&str> = NEEDS
        .iter()
        .filter(|need| !succeeds(&mut command(need.probe[0], &need.probe[1..])))
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }

    let packages = missing.join(" ");
    if !Path::new("/etc/debian_version").exists() {
        bail!("the tests need what Debian calls {packages}: install it, then try again");
    }
    if output(&mut command("id", ["-u"]))? != "0" {
        bail!(
            "the tests need Debian packages, install them and try again:\n  sudo apt-get install {packages}"
        );
    }
    eprintln!("Installing Debian packages: {packages}");
    let install = || {
        let args = ["install", "--yes", "--no-install-recommends"];
        let mut apt = command("apt-get", args.iter().chain(&missing));
        run(apt.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // A machine's package lists can be absent or old; fetching them takes longer than trying.
    install().or_else(|_| {
        run(&mut command("apt-get", ["update"]))?;
        install()
    })?;

    match NEEDS.iter().find(|need| !succeeds(&mut command(need.probe[0], &need.probe[1..]))) {
        None => Ok(()),
        Some(need) => Err(anyhow::anyhow!("`{}` still fails", need.probe.join(" "))).context(
            format!("{} is installed, but the `python3` on the PATH is another one", need.package),
        ),
    }
}
