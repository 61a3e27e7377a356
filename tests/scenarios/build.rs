//! Lists the scenario files, so that the binary carries them and `agentctl selftest` needs no files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const GROUPS: [&str; 8] = ["files", "exec", "identity", "network", "daemon", "process", "hold", "ungoverned"];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?).join("embedded.rs");
    let mut text = "pub(crate) const FILES: &[(&str, &str, &str)] = &[\n".to_owned();
    for group in GROUPS {
        let folder = here.join(group);
        println!("cargo::rerun-if-changed={}", folder.display());
        for file in scenario_files(&folder)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            writeln!(text, "    ({group:?}, {name:?}, include_str!({:?})),", file)
                .map_err(io::Error::other)?;
        }
    }
    text.push_str("];\n");
    fs::write(out, text)
}

fn scenario_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}
