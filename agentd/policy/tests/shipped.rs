//! The policy that ships: it loads, its tests pass and cover it, and it says the same thing every day.

use std::path::{Path, PathBuf};

use agentguard_policy::{PolicySet, testing};

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies").canonicalize().unwrap()
}

fn shipped() -> PolicySet {
    PolicySet::read(&policies())
        .unwrap_or_else(|errors| panic!("the shipped policy does not load:\n{errors}"))
}

#[test]
fn every_pack_passes_its_own_tests() {
    let report = testing::run(shipped().files()).unwrap();
    let failures: Vec<_> = report.failures().collect();
    assert!(report.passed(), "{failures:#?}");
    for pack in shipped().packs() {
        let name = format!("agentguard.{pack}_test.");
        assert!(report.tests.iter().any(|test| test.name.starts_with(&name)), "pack {pack} has no test");
    }
}

#[test]
fn the_packs_tests_cover_them() {
    const LEAST_PERCENT: f64 = 90.0;
    for file in testing::run(shipped().files()).unwrap().coverage {
        println!("{}: {:.1} % of {} lines", file.file.display(), file.percent(), file.lines);
        assert!(
            file.percent() > LEAST_PERCENT,
            "{}: {:.1} %, missed {:?}",
            file.file.display(),
            file.percent(),
            file.missed
        );
    }
}
