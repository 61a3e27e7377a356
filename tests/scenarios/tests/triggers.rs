//! Every trigger that a machine allows without governance: it works, or says that the kernel does not have it.
//! A trigger that fails by its own fault would make every denial look right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const TRIGGER: &str = env!("CARGO_BIN_EXE_agentguard-trigger");
const WORKED: i32 = 0;
const MISSING: i32 = 15;

/// A folder with a file and a program in it, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for the test");
        fs::write(path.join("file"), "text\n").expect("a file");
        fs::copy("/usr/bin/true", path.join("program")).expect("a program");
        Self(path)
    }

    /// Runs triggers one after the other, each given as one line, and tells those that did not work.
    fn complaints(&self, lines: &[&str]) -> Vec<String> {
        lines.iter().filter_map(|line| complaint(line, &self.0)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn complaint(line: &str, folder: &Path) -> Option<String> {
    let output =
        Command::new(TRIGGER).args(line.split(' ')).current_dir(folder).output().expect("the trigger runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let code = output.status.code().unwrap_or(-1);
    let last = said.lines().last().unwrap_or("");
    let is_told = match code {
        WORKED => last == "ok",
        MISSING => last.starts_with("errno "),
        _ => false,
    };
    (!is_told).then(|| format!("{line}: {code}: {said}{}", String::from_utf8_lossy(&output.stderr)))
}

/// A helper that is killed when dropped.
struct Helper(Child);

impl Helper {
    fn start(folder: &Folder, line: &str) -> Self {
        let ready = folder.0.join("ready");
        let _ = fs::remove_file(&ready);
        let helper =
            Command::new(TRIGGER).args(line.split(' ')).current_dir(&folder.0).spawn().expect("a helper");
        let helper = Self(helper);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !ready.exists() {
            assert!(Instant::now() < deadline, "not ready in time: {line}");
            std::thread::sleep(Duration::from_millis(10));
        }
        helper
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn files_are_opened_and_changed_in_every_way() {
    let folder = Folder::new("files");
    let complaints = folder.complaints(&[
        "open file",
        "open file --flags rdonly,trunc",
        "open made --flags wronly,creat,excl",
        "openat2 file --at . --resolve beneath",
        "reopen file",
        "truncate file",
        "ftruncate file",
        "fallocate file",
        "fallocate file --zero",
        "chmod file 600",
        "chown file",
        "utimes file",
        "setxattr file",
        "link file a",
        "link-fd --proc file b",
        "symlink file c",
        "rename a d",
        "rename --exchange b d",
        "deep . --depth 25 --name-bytes 200",
        "deep . --depth 25 --name-bytes 200 --read",
        "map-shared file",
        "map-shared --late file",
        "copy --by splice file e",
        "copy --by sendfile file e",
        "copy --by range file e",
        "copy --by clone file e",
    ]);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn programs_and_memory_are_run_in_every_way() {
    let folder = Folder::new("programs");
    let complaints = folder.complaints(&[
        "map-exec program",
        "map-exec --late program",
        "map-dirty program",
        "map-memfd",
        "map-memfd --late",
        "anonymous",
        "anonymous --late",
        "anonymous --shared",
        "self-mem",
        "memfd-exec /usr/bin/true",
        "memfd-exec --proc /usr/bin/true",
        "deleted-exec --directory . /usr/bin/true",
        "tmpfile-exec --directory . /usr/bin/true",
        "path-exec ./program",
        "exec --filler-bytes 100000 /usr/bin/true",
        "thread-exec /usr/bin/true",
        "spoof --name other file",
        "orphan file",
        "lineage file --depth 10",
    ]);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn rings_do_what_they_are_told() {
    let folder = Folder::new("rings");
    let _serve = Helper::start(&folder, "serve 127.0.0.1:48210 --log log --ready ready");
    let complaints = folder.complaints(&[
        "uring setup",
        "uring setup --polled",
        "uring open file",
        "uring open file --worker",
        "uring open file --polled",
        "uring read file",
        "uring write file",
        "uring mkdir made",
        "uring link file a",
        "uring rename a b",
        "uring unlink b",
        "uring socket",
        "uring connect 127.0.0.1:48210 --worker",
        "uring send 127.0.0.1:48210",
        "uring sendmsg 127.0.0.1:48210",
    ]);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn loopback_is_reached_in_every_way() {
    let folder = Folder::new("loopback");
    let _tcp = Helper::start(&folder, "serve 127.0.0.1:48211 --log tcp --ready ready");
    let _udp = Helper::start(&folder, "serve 127.0.0.1:48211 --protocol udp --log udp --ready ready");
    let complaints = folder.complaints(&[
        "connect 127.0.0.1:48211",
        "connect 127.0.0.1:48211 --nonblocking",
        "connect 127.0.0.1:48211 --protocol mptcp",
        "connect [::ffff:127.0.0.1]:48211",
        "connect 0.0.0.0:48211",
        "fast-open 127.0.0.1:48211",
        "fast-open 127.0.0.1:48211 --option",
        "send 127.0.0.1:48211",
        "send 127.0.0.1:48211 --by sendmsg",
        "send 127.0.0.1:48211 --by sendmmsg",
        "send-unspecified 127.0.0.1:48211",
        "reconnect 127.0.0.1:48211 127.0.0.2:48211",
        "reconnect 127.0.0.1:48211 127.0.0.1:48211 --unspecified",
        "bind 127.0.0.1:48212",
        "listen 127.0.0.1:48212",
        "listen-unbound",
    ]);
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(fs::read_to_string(folder.0.join("udp")).is_ok_and(|log| log.contains("leak")));
}

#[test]
fn unix_sockets_are_reached_and_descriptors_passed() {
    let folder = Folder::new("unix");
    let abstract_name = format!("@agentguard-test-{}", std::process::id());
    let _stream = Helper::start(&folder, "unix-serve stream --log log --ready ready");
    let _packets = Helper::start(&folder, "unix-serve packets --kind seqpacket --log log --ready ready");
    let _datagrams = Helper::start(&folder, "unix-serve datagrams --kind dgram --log log --ready ready");
    let _abstract = Helper::start(&folder, &format!("unix-serve {abstract_name} --log log --ready ready"));
    let _sender = Helper::start(&folder, "send-fd sender --file file --ready ready");
    let complaints = folder.complaints(&[
        "unix-connect stream",
        "unix-connect packets --kind seqpacket",
        "unix-connect datagrams --kind dgram",
        "unix-send datagrams",
        &format!("unix-connect {abstract_name}"),
        "unix-bind bound",
        "recv-fd sender",
    ]);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn names_are_answered_and_resolved() {
    let folder = Folder::new("names");
    let server = "dns-server --listen 127.0.0.1:48253 --answer good.test=127.0.0.1,5 --answer six.test=::1 --ready ready";
    let _server = Helper::start(&folder, server);
    let complaints = folder.complaints(&[
        "dns-connect GOOD.test --resolver 127.0.0.1:48253",
        "dns-connect good.test --resolver 127.0.0.1:48253 --tcp",
        "dns-connect six.test --resolver 127.0.0.1:48253 --v6",
    ]);
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(complaint("dns-connect other.test --resolver 127.0.0.1:48253", &folder.0).is_some());
}

#[test]
fn floods_count_what_worked() {
    let folder = Folder::new("floods");
    let complaints = folder.complaints(&["flood-open file --threads 4 --times 50"]);
    assert!(complaints.is_empty(), "{complaints:#?}");
    let failed =
        complaint("flood-open nothing --threads 4 --times 50", &folder.0).expect("there is no such file");
    assert!(failed.contains("successes 0 of 200"), "{failed}");
    assert!(failed.contains("errno ENOENT"), "{failed}");
}

#[test]
fn a_denial_of_the_kernel_is_told_as_one() {
    let folder = Folder::new("denial");
    // That nobody writes to a directory is an error, but no denial.
    let told = complaint("open . --flags wronly", &folder.0).expect("it fails");
    assert!(told.contains(": 14:") && told.contains("errno EISDIR"), "{told}");
    let told = complaint("setxattr file trusted.name", &folder.0);
    assert!(told.is_none() || told.is_some_and(|told| told.contains(": 13:")), "EPERM without CAP_SYS_ADMIN");
}
