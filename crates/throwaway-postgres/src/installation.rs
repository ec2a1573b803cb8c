//! Finds PostgreSQL on this machine, and the user that may run it. If it is missing, tests panic and say how to get it: a
//! skipped test would look like a passed one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const HOW_TO_GET_IT: &str =
    "install PostgreSQL (Debian: apt-get install postgresql) or run bin/test, which does";
const BINARIES_VARIABLE: &str = "TRUNKLINE_POSTGRES_BIN";

pub(crate) struct Installation {
    pub(crate) binaries: PathBuf,
    /// `None`: the current user.
    pub(crate) run_as: Option<User>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Installation {
    pub(crate) fn find() -> Installation {
        let binaries = choose(std::env::var_os(BINARIES_VARIABLE), usual_places());
        let run_as = running_as_root().then(|| {
            let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            user_postgres(&passwd).unwrap_or_else(|| {
                panic!(
                    "PostgreSQL refuses to run as root, and there is no user `postgres` to run it as: run the \
                     tests as another user, or {HOW_TO_GET_IT}"
                )
            })
        });
        Installation {
            binaries: binaries.unwrap_or_else(|message| panic!("{message}")),
            run_as,
        }
    }
}

fn choose(asked_for: Option<OsString>, places: Vec<PathBuf>) -> Result<PathBuf, String> {
    let complete = |place: &Path| place.join("initdb").is_file() && place.join("postgres").is_file();
    // A wrong setting is an error: testing another version silently would be worse.
    if let Some(place) = asked_for.map(PathBuf::from) {
        return match complete(&place) {
            true => Ok(place),
            false => Err(format!(
                "{BINARIES_VARIABLE} is {}, where there is no initdb and postgres: correct or unset it; \
                 {HOW_TO_GET_IT}",
                place.display()
            )),
        };
    }
    places.into_iter().find(|place| complete(place)).ok_or_else(|| {
        format!("these tests need PostgreSQL: {HOW_TO_GET_IT}; if it is elsewhere, set {BINARIES_VARIABLE}")
    })
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = newest_first("/usr/lib/postgresql", "");
    places.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    // Homebrew keeps versioned formulas off the PATH.
    places.extend(newest_first("/opt/homebrew/opt", "postgresql@"));
    places.extend(newest_first("/usr/local/opt", "postgresql@"));
    places
}

fn newest_first(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, place)| place).collect()
}

fn running_as_root() -> bool {
    let id = Command::new("id")
        .arg("-u")
        .output()
        .expect("asking `id -u` who runs the tests: is `id` on the PATH?");
    id.stdout.trim_ascii() == b"0"
}

fn user_postgres(passwd: &str) -> Option<User> {
    let mut fields = passwd
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"))?
        .split(':')
        .skip(1);
    Some(User {
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_postgresql_the_message_says_how_to_get_it() {
        let message = choose(None, vec!["/nowhere".into()]).unwrap_err();
        assert!(message.contains(HOW_TO_GET_IT), "{message}");
    }

    #[test]
    fn a_wrong_wish_does_not_fall_back_to_another_installation() {
        let found = choose(None, usual_places()).unwrap();
        let message = choose(Some("/nowhere".into()), vec![found]).unwrap_err();
        assert!(
            message.contains("TRUNKLINE_POSTGRES_BIN is /nowhere"),
            "{message}"
        );
    }

    #[test]
    fn the_user_is_looked_up_by_its_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgres-exporter:x:7:8:::\npostgres:x:101:104:PG,,,:/home:/bin/sh\n";
        assert_eq!(user_postgres(passwd), Some(User { uid: 101, gid: 104 }));
        assert_eq!(user_postgres("root:x:0:0::/root:/bin/sh\n"), None);
    }
}
