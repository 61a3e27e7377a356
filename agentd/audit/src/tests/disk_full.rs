//! No room: at every byte of a record, and on a real file system.

use super::*;
use crate::AuditError;

#[test]
fn a_record_that_does_not_fit_is_not_there_in_part_whatever_the_room() {
    for room in (0..500).step_by(13) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), NOON);
        log.append(entry(1), NOON).unwrap();
        let path = segments(dir.path()).remove(0);
        let before = fs::read(&path).unwrap();
        log.set_room(Some(before.len() as u64 + room.min(300)));
        for lost in 1..=3 {
            assert!(matches!(log.append(entry(2), NOON), Err(AuditError::Io { .. })), "room {room}");
            assert_eq!(log.lost(), lost);
        }
        assert_eq!(fs::read(&path).unwrap(), before, "room {room}");
        log.set_room(None);
        log.append(entry(3), NOON).unwrap();
        assert_eq!(log.lost(), 0);
        log.close(NOON).unwrap();
        let report = checked(dir.path());
        assert_eq!((report.findings.len(), report.lost), (0, 3), "{report:?}");
    }
}

/// Mounts a file system of this size; unmounts it in the end.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(size: &str) -> Result<Self, nix::Error> {
        let dir = tempfile::tempdir().unwrap();
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(
            Some("tmpfs"),
            dir.path(),
            Some("tmpfs"),
            flags,
            Some(format!("size={size}").as_str()),
        )?;
        Ok(Self(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        nix::mount::umount(self.0.path()).unwrap();
    }
}

#[test]
fn a_full_disk_loses_records_by_count_and_nothing_else() {
    let small = match Small::mount("256k") {
        Ok(small) => small,
        Err(error) => return eprintln!("skipped: a tmpfs cannot be mounted here: {error}"),
    };
    let dir = small.0.path().join("audit");
    let mut log = open(&dir, NOON);
    let ballast = small.0.path().join("ballast");
    fs::write(&ballast, vec![0; 64 * 1024]).unwrap();
    let (mut written, mut lost) = (0, 0);
    for number in 0..2000 {
        match log.append_durable(entry(number), NOON) {
            Ok(_) => written += 1,
            Err(_) => lost += 1,
        }
    }
    assert!(written > 50 && lost > 50, "{written} written, {lost} lost");
    assert!(log.tick(NOON, NOON).is_err(), "a full disk is said");
    let report = checked(&dir);
    assert!(report.is_clean(), "{:?}", report.findings);
    fs::remove_file(&ballast).unwrap();
    log.append(entry(1), NOON).unwrap();
    log.close(NOON).unwrap();
    let report = checked(&dir);
    assert_eq!((report.findings.len(), report.lost, report.uncovered), (0, lost, 0));
}
