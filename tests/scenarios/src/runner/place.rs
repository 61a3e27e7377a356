//! The folders of one scenario, and scripts that run in them outside governance.
//!
//! `ws` is the agent's workspace; `protected` belongs to the same user, so that nothing but agentd keeps the agent
//! out; the folder around them belongs to root.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};

use crate::runner::Context;
use crate::runner::process::{Limit, Running, Task};
use crate::scenario::{Command, Scenario};

/// What the agent must not learn.
pub(crate) const SECRET: &str = "top secret";
/// How long a helper may take until it is ready.
const READY_LIMIT: Limit = Limit::from_secs(30);

/// What scripts of root may call.
const FUNCTIONS: &str = r#"
held() { # prints the approval that waits for this object
    until id=$(agentctl approvals -o ndjson | grep -F "$1" | sed 's/^{"id":"\([^"]*\)".*/\1/;q') && [ -n "$id" ]; do
        sleep 0.1
    done
    echo "$id"
}
"#;

/// A scenario's place on disk. Removed when dropped.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) workspace: PathBuf,
    pub(crate) protected: PathBuf,
    ready: PathBuf,
    variables: BTreeMap<&'static str, OsString>,
    owner: (u32, u32),
}

impl Place {
    pub(crate) fn new(scenario: &Scenario, context: &Context) -> io::Result<Self> {
        own_folder(&context.root)?;
        let dir = context.root.join(folder_name(scenario, context));
        folder(&dir)?;
        let (uid, gid) = context.ids(scenario.user);
        let place = Self {
            workspace: dir.join("ws"),
            protected: dir.join("protected"),
            ready: dir.join("ready"),
            variables: BTreeMap::new(),
            owner: (uid.as_raw(), gid.as_raw()),
            dir,
        };
        for path in [&place.workspace, &place.protected, &place.dir.join("bin"), &place.dir.join("log")] {
            folder(path)?;
        }
        fs::write(place.protected.join("secret"), format!("{SECRET}\n"))?;
        fs::write(place.workspace.join("file"), "mine\n")?;
        fs::create_dir(place.workspace.join("tmp"))?;
        Ok(place.with_variables(context))
    }

    fn with_variables(mut self, context: &Context) -> Self {
        let path = |path: &Path| path.as_os_str().to_owned();
        self.variables = BTreeMap::from([
            ("DIR", path(&self.dir)),
            ("WS", path(&self.workspace)),
            ("PROTECTED", path(&self.protected)),
            ("BIN", path(&self.dir.join("bin"))),
            ("LOG", path(&self.dir.join("log"))),
            ("READY", path(&self.ready)),
            ("TRIGGER", path(&context.trigger)),
            ("AGENTCTL", path(&context.agentctl)),
            ("AS_USER", context.person.drop_root().join(OsStr::new(" "))),
            ("HOME", path(&self.workspace)),
            ("TMPDIR", path(&self.workspace.join("tmp"))),
            ("LC_ALL", "C".into()),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ]);
        self
    }

    /// What scripts find in their environment.
    pub(crate) fn variables(&self) -> &BTreeMap<&'static str, OsString> {
        &self.variables
    }

    /// Replaces `$NAME`, longer names first, where there is no shell that would.
    pub(crate) fn replace(&self, text: &str) -> String {
        let mut names: Vec<_> = self.variables.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names.into_iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("${name}"), &value.to_string_lossy())
        })
    }

    /// The words of a command.
    pub(crate) fn words(&self, command: &Command) -> Vec<OsString> {
        match command {
            Command::Shell(script) => ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
            Command::Arguments(words) => words.iter().map(|word| self.replace(word).into()).collect(),
        }
    }

    /// A script as root, outside governance.
    pub(crate) fn script(&self, script: &str) -> Task {
        let script = format!("{FUNCTIONS}{script}");
        let words = ["/bin/sh", "-e", "-c", &script].map(OsString::from).to_vec();
        Task::new(words, &self.dir).with_environment(&self.variables)
    }

    /// Starts a helper and waits until it says that it is ready.
    pub(crate) fn start_helper(&self, script: &str) -> Result<Running, String> {
        let mut helper = self.script(script).start()?;
        let deadline = READY_LIMIT.deadline();
        while !self.ready.exists() {
            if let Some(ended) = helper.poll()? {
                return Err(format!("ended with status {}: {}", ended.code, ended.last_line()));
            }
            deadline.pause()?;
        }
        Ok(helper)
    }

    /// Gives workspace and protected files to who tries; everything else stays root's.
    pub(crate) fn hand_over(&self) -> io::Result<()> {
        if self.owner == (0, 0) {
            return Ok(());
        }
        give(&self.workspace, self.owner)?;
        give(&self.protected, self.owner)
    }
}

/// The same for all scenarios under a spec as it is: their rules are the same then, and agentd lowers them once. Not for
/// who looks at everybody's records, and would find those of the scenario before; nor after one whose folder is still
/// there.
fn folder_name(scenario: &Scenario, context: &Context) -> String {
    let shared = &context.run_id;
    let may_share = scenario.spec.is_empty() && scenario.expect.absent.is_empty();
    if may_share && !context.root.join(shared).exists() {
        return shared.clone();
    }
    format!("{}-{shared}", scenario.id)
}

impl Drop for Place {
    fn drop(&mut self) {
        // What could not be removed is in /var/tmp, and removed with the next start of the host's cleaning.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)
}

/// The root folder is in a directory that everybody may write to: use it only if it is a real one of root's.
fn own_folder(path: &Path) -> io::Result<()> {
    match folder(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() && metadata.uid() == 0 && metadata.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(io::Error::other(format!("{} is not a directory that only root may write to", path.display())))
    }
}

fn give(path: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), (uid, gid))?;
        }
    }
    lchown(path, Some(uid), Some(gid))
}
