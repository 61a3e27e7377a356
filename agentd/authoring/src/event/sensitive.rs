//! Places where one name says nothing about the next: keys, passwords, settings of the host, other people's files.
//! A request there is granted by its exact name or not at all.

use crate::{AuthoringError, base};

/// Directories and files that hold credentials wherever they are. What ends a name is in [`KEY_ENDINGS`].
const CREDENTIAL_NAMES: [&str; 30] = [
    ".ssh",
    ".aws",
    ".gnupg",
    ".kube",
    ".docker",
    ".azure",
    ".gcloud",
    "gcloud",
    ".password-store",
    ".vault-token",
    ".netrc",
    ".pgpass",
    ".my.cnf",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    ".env",
    ".secrets",
    "secrets",
    "keyrings",
    ".mozilla",
    ".thunderbird",
    ".bash_history",
    ".zsh_history",
    ".python_history",
    ".psql_history",
    "credentials",
    "credentials.json",
    "credentials.toml",
    ".htpasswd",
];
const KEY_BEGINNINGS: [&str; 5] = [".env.", "id_rsa", "id_ed25519", "id_ecdsa", "id_dsa"];
const KEY_ENDINGS: [&str; 5] = [".pem", ".key", ".p12", ".pfx", ".jks"];
/// Settings and state of the host and of its users.
const HOST_TREES: [&str; 9] =
    ["/etc", "/root", "/boot", "/home", "/run", "/var/run", "/var/lib/private", "/var/spool", "/dev"];
/// Directories with entries of many owners, too wide to be granted for what a few of them were asked for.
const SHARED: [&str; 9] = [
    "/var/lib",
    "/var/log",
    "/var/cache",
    "/usr/local",
    "/var/tmp",
    "/dev/shm",
    "/sys/fs",
    "/sys/kernel",
    "/proc/sys",
];

/// Where the agent is at home and where it works.
pub(super) struct Places {
    home: String,
    workspace: Option<String>,
}

/// A path by where it lies.
pub(super) struct Placed<'p> {
    /// How a pattern for it begins: `${workspace}`, `${home}` or nothing.
    pub(super) root: &'static str,
    /// The parts below.
    pub(super) parts: Vec<&'p str>,
}

impl Places {
    pub(super) fn new(home: &str, workspace: Option<&str>) -> Result<Self, AuthoringError> {
        let directory = |key: &str, path: &str| {
            let trimmed = path.trim_end_matches('/');
            let parts = trimmed.strip_prefix('/').map(|below| below.split('/'));
            if parts.is_none_or(|mut parts| parts.any(|part| matches!(part, "" | "." | ".."))) {
                let problem =
                    format!("`{path}` is no directory below `/` written in full; give its whole path");
                return Err(AuthoringError::value(key, problem));
            }
            Ok(trimmed.to_owned())
        };
        let workspace = workspace.map(|path| directory("workspace", path)).transpose()?;
        Ok(Self { home: directory("home", home)?, workspace })
    }

    pub(super) fn place<'p>(&self, path: &'p str) -> Placed<'p> {
        let roots = [(base::WORKSPACE, self.workspace.as_deref()), ("${home}", Some(self.home.as_str()))];
        for (root, directory) in roots {
            let below = directory.and_then(|directory| path.strip_prefix(directory));
            match below.map(|below| (below, below.strip_prefix('/'))) {
                Some(("", _)) => return Placed { root, parts: Vec::new() },
                Some((_, Some(below))) => return Placed { root, parts: below.split('/').collect() },
                Some((_, None)) | None => {}
            }
        }
        let below = path.strip_prefix('/').unwrap_or(path);
        let parts = if below.is_empty() { Vec::new() } else { below.split('/').collect() };
        Placed { root: "", parts }
    }

    /// Whether a path is granted only by its exact name.
    pub(super) fn is_sensitive(&self, path: &str) -> bool {
        if path.split('/').any(is_credential) {
            return true;
        }
        let own = [self.workspace.as_deref(), Some(self.home.as_str())];
        if own.into_iter().flatten().any(|directory| is_within(path, directory)) {
            // The names at the top of a home are what this is all about.
            return parent(path) == self.home || path == self.home;
        }
        let tree = HOST_TREES.iter().any(|tree| is_within(path, tree));
        tree && !is_within(path, "/dev/pts") && !is_within(path, "/dev/shm")
    }

    /// Whether names in this directory may be granted together.
    pub(super) fn may_open(&self, directory: &str) -> bool {
        if self.workspace.as_deref() == Some(directory) {
            return directory != self.home;
        }
        let own = [self.workspace.as_deref(), Some(self.home.as_str())];
        let above_own = own.into_iter().flatten().any(|own| is_within(own, directory));
        let deep = directory.split('/').filter(|part| !part.is_empty()).count() > 1;
        let kernel = is_within(directory, "/proc") || is_within(directory, "/sys");
        deep && !above_own && !kernel && !SHARED.contains(&directory) && !self.is_sensitive(directory)
    }
}

/// The pattern that keeps credentials out of a directory of the user's that is granted as a whole.
pub(super) fn guard(pattern: &str) -> Option<String> {
    if !pattern.starts_with("${") {
        return None;
    }
    let (directory, between) = match pattern.strip_suffix("/**") {
        Some(directory) => (directory, "/**/"),
        None => (pattern.strip_suffix("/*")?, "/"),
    };
    let exact = CREDENTIAL_NAMES.iter().map(|name| (*name).to_owned());
    let below = CREDENTIAL_NAMES.iter().filter(|_| between == "/**/").map(|name| format!("{name}/**"));
    let beginnings = KEY_BEGINNINGS.iter().map(|beginning| format!("{beginning}*"));
    let endings = KEY_ENDINGS.iter().map(|ending| format!("*{ending}"));
    let names: Vec<String> = exact.chain(below).chain(beginnings).chain(endings).collect();
    Some(format!("{directory}{between}{{{}}}", names.join(",")))
}

fn is_credential(part: &str) -> bool {
    CREDENTIAL_NAMES.contains(&part)
        || KEY_BEGINNINGS.iter().any(|beginning| part.starts_with(beginning))
        || KEY_ENDINGS.iter().any(|ending| part.ends_with(ending))
}

fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_settings_and_other_peoples_files_are_sensitive() {
        let places = Places::new("/home/ada", Some("/home/ada/work")).expect("places");
        for path in [
            "/etc/passwd",
            "/home/ada/.ssh/id_rsa",
            "/home/ada/notes.txt",
            "/home/bob/x/y",
            "/root/x",
            "/home/ada/work/.env",
            "/home/ada/work/a/server.pem",
            "/home/ada/.config/gcloud/x",
            "/run/secrets/a",
        ] {
            assert!(places.is_sensitive(path), "{path}");
        }
        for path in
            ["/home/ada/work/src/a.rs", "/home/ada/.cache/pip/x", "/usr/lib/a", "/tmp/x", "/dev/pts/1"]
        {
            assert!(!places.is_sensitive(path), "{path}");
        }
    }

    #[test]
    fn directories_of_many_owners_are_not_opened() {
        let places = Places::new("/home/ada", Some("/home/ada/work")).expect("places");
        for directory in [
            "",
            "/home",
            "/home/ada",
            "/etc",
            "/etc/ssl",
            "/usr",
            "/var/lib",
            "/proc/1",
            "/tmp",
            "/home/ada/.aws",
        ] {
            assert!(!places.may_open(directory), "{directory}");
        }
        for directory in
            ["/home/ada/work", "/home/ada/work/src", "/usr/lib", "/home/ada/.cache/pip", "/tmp/build"]
        {
            assert!(places.may_open(directory), "{directory}");
        }
        let whole_home = Places::new("/home/ada", Some("/home/ada")).expect("places");
        assert!(!whole_home.may_open("/home/ada"));
    }
}
