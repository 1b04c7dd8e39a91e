//! What the tests need from outside, and how Debian provides it.

use crate::{Outcome, run};
use std::process::Command;

/// One program that some tests or chores start.
pub struct Need {
    /// How it is started; an absolute path where another program of that name would not do.
    pub program: &'static str,
    /// The Debian package that brings it.
    pub debian_package: &'static str,
    /// What is left out without it.
    pub without: &'static str,
}

/// Every program that the tests start and Cargo does not bring.
pub const NEEDS: &[Need] = &[
    Need {
        program: "sqlite3",
        debian_package: "sqlite3",
        without: "every test that loads the library into the sqlite3 shell, and all of conformance",
    },
    Need {
        program: PYTHON,
        debian_package: "python3",
        without: "the streams between python3 and the shell, and the Chinook database",
    },
    Need {
        program: "/usr/bin/pip3",
        debian_package: "python3-pip",
        without: "the Chinook database and what is tested on it",
    },
    Need { program: "gcc", debian_package: "gcc", without: "the original cr-sqlite and what is compared with it" },
    Need {
        program: "patchelf",
        debian_package: "patchelf",
        without: "the original cr-sqlite and what is compared with it",
    },
    Need {
        program: "npm",
        debian_package: "npm",
        without: "every original cr-sqlite, the JavaScript peers, and what is compared with them",
    },
    Need {
        program: "node",
        debian_package: "nodejs",
        without: "cr-sqlite in WebAssembly, and everything in JavaScript",
    },
    Need { program: "make", debian_package: "make", without: "the JavaScript peers and the original server" },
    Need { program: "g++", debian_package: "g++", without: "the JavaScript peers and the original server" },
    Need { program: CHROMIUM, debian_package: "chromium", without: "the tabs in a real browser, and the example" },
    Need { program: "tar", debian_package: "tar", without: "the original cr-sqlite and the Chinook database" },
];

/// The browser whose tabs are driven.
pub const CHROMIUM: &str = "/usr/bin/chromium";

/// The interpreter whose sqlite3 module is Debian's own and can load extensions.
pub const PYTHON: &str = "/usr/bin/python3";

/// Installs what is missing where that can be done, and returns what is missing still.
pub fn install() -> Vec<&'static Need> {
    let missing = missing();
    if missing.is_empty() {
        println!("everything is there");
        return missing;
    }
    if let Err(reason) = debian_as_root().and_then(|()| apt_get(&missing)) {
        println!("nothing was installed: {reason}");
    }
    self::missing()
}

fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !run::is_there(need.program)).collect()
}

fn debian_as_root() -> Outcome<()> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !is_debian(&release) {
        return Err("only Debian's apt-get is known here, and this is not Debian".to_owned());
    }
    let user = run::text_of(Command::new("id").arg("-u"))?;
    if user.trim() == "0" { Ok(()) } else { Err("apt-get needs root, and this is another user".to_owned()) }
}

fn is_debian(os_release: &str) -> bool {
    os_release.lines().any(|line| {
        line.strip_prefix("ID=")
            .or_else(|| line.strip_prefix("ID_LIKE="))
            .is_some_and(|value| value.trim_matches('"').split_whitespace().any(|word| word == "debian"))
    })
}

fn apt_get(missing: &[&Need]) -> Outcome<()> {
    let mut packages: Vec<&str> = missing.iter().map(|need| need.debian_package).collect();
    packages.sort_unstable();
    packages.dedup();
    println!("installing {}", packages.join(", "));
    run::run(Command::new("apt-get").args(["-q", "-y", "update"]))?;
    run::run(
        Command::new("apt-get")
            .args(["-q", "-y", "install", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_children_are_known_by_os_release() {
        assert!(is_debian("NAME=\"Debian GNU/Linux\"\nID=debian\n"));
        assert!(is_debian("ID=ubuntu\nID_LIKE=debian\n"));
        assert!(is_debian("ID=mint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=fedora\nNAME=\"not debian\"\n"));
        assert!(!is_debian(""));
    }
}
