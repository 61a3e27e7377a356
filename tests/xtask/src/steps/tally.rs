//! Counts tests by what test programs print: cargo's `test result:` lines and the summary lines of agentctl.

/// How many tests passed, failed and were skipped, and the names of the failed and skipped ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    pub(crate) failed_names: Vec<String>,
    pub(crate) skipped_names: Vec<String>,
}

impl Tally {
    /// Counts a line, if it is one that counts.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let counts = result.split_once(". ").map_or(result, |(_, counts)| counts);
            self.count(&counts.replace(';', ","));
        } else if let Some(name) = line.strip_prefix("test ").and_then(ignored) {
            self.skipped_names.push(name);
        } else if let Some(name) = scenario(line, "skipped ") {
            self.skipped_names.push(name);
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"))
        {
            self.failed_names.push(name.to_owned());
        } else if let Some(name) = scenario(line, "FAILED ") {
            self.failed_names.push(name);
        } else if line.starts_with(|first: char| first.is_ascii_digit()) && line.contains(" passed, ") {
            self.count(line);
        }
    }

    /// `12 passed, 0 failed, 3 skipped`, in this order or another; other words do not count.
    fn count(&mut self, counts: &str) {
        for part in counts.split(',') {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u64>().ok());
            let (Some(number), Some(word)) = (number, words.next()) else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "skipped" | "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// What reported no tests is one itself; what failed without naming a failed test has one all the same.
    pub(crate) fn close(&mut self, passed: bool) {
        if passed && self.passed + self.failed == 0 {
            self.passed = 1;
        } else if !passed && self.failed == 0 {
            self.failed = 1;
        }
    }

    /// Adds another one's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failed_names.extend(other.failed_names.iter().cloned());
        self.skipped_names.extend(other.skipped_names.iter().cloned());
    }
}

/// `name ... ignored, why`, after `test `.
fn ignored(line: &str) -> Option<String> {
    let (name, result) = line.split_once(" ... ")?;
    let why = result.strip_prefix("ignored")?.trim_start_matches([',', ' ']);
    Some(if why.is_empty() { name.to_owned() } else { format!("{name}: {why}") })
}

/// The scenario of a line `[3/200] skipped F1a title (0 ms): why`, if it ended so.
fn scenario(line: &str, ending: &str) -> Option<String> {
    let (_, result) = line.strip_prefix('[')?.split_once("] ")?;
    Some(result.strip_prefix(ending)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    fn counts(lines: &[&str]) -> (u64, u64, u64) {
        let tally = tally(lines);
        (tally.passed, tally.failed, tally.skipped)
    }

    #[test]
    fn reads_what_cargo_prints() {
        let lines = [
            "test a::b ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ];
        assert_eq!(counts(&lines), (5, 1, 1));
    }

    #[test]
    fn reads_what_agentctl_prints() {
        assert_eq!(counts(&["69 passed, 0 failed"]), (69, 0, 0));
        assert_eq!(counts(&["220 passed, 1 failed, 9 open, 4 skipped"]), (220, 1, 4));
    }

    #[test]
    fn names_what_was_skipped() {
        let lines =
            ["test a::b ... ignored, needs root", "[3/9] skipped F1a   A title (0 ms): no bwrap here"];
        assert_eq!(tally(&lines).skipped_names, ["a::b: needs root", "F1a   A title (0 ms): no bwrap here"]);
    }

    #[test]
    fn names_what_failed() {
        let lines = ["test a::b ... FAILED", "[3/9] FAILED  F1a   A title (9 ms): why", "test a::c ... ok"];
        assert_eq!(tally(&lines).failed_names, ["a::b", "F1a   A title (9 ms): why"]);
    }

    #[test]
    fn other_lines_do_not_count() {
        assert_eq!(counts(&["", "running 3 tests", "the 3 passed, he said", "3 files"]), (0, 0, 0));
    }
}
