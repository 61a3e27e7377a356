//! Compiles every `src/bpf/*.bpf.c`, links them into one object and generates its skeleton.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use libbpf_cargo::SkeletonBuilder;
use sha2::{Digest as _, Sha256};

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let object = out.join("agentguard.bpf.o");
    let mut linker = libbpf_rs::Linker::new(&object).context("starting the BPF linker")?;
    for source in sources(Path::new("src/bpf"))? {
        let name = source.file_name().context("source without a name")?;
        let compiled = out.join(name).with_extension("o");
        SkeletonBuilder::new()
            .source(&source)
            .obj(&compiled)
            .clang_args(["-Iinclude", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-mcpu=v3"])
            .build()
            .with_context(|| format!("compiling {}", source.display()))?;
        linker.add_file(&compiled).with_context(|| format!("adding {}", compiled.display()))?;
    }
    linker.link().context("linking the BPF object")?;
    SkeletonBuilder::new()
        .obj(&object)
        .generate(out.join("agentguard.skel.rs"))
        .context("generating the skeleton")?;
    println!("cargo::rustc-env=AGENTGUARD_LAYOUT={}", layout(&["include/maps.h", "include/wire.h"])?);
    println!("cargo::rerun-if-changed=src/bpf");
    println!("cargo::rerun-if-changed=include");
    Ok(())
}

/// The sources in a stable order, so that the same sources make the same object.
fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".bpf.c") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Names what the headers declare, whatever their comments and their form.
fn layout(headers: &[&str]) -> Result<String> {
    let mut hash = Sha256::new();
    for header in headers {
        let text = fs::read_to_string(header).with_context(|| (*header).to_owned())?;
        let mut pieces = text.split("/*");
        let code =
            pieces.next().into_iter().chain(pieces.filter_map(|piece| Some(piece.split_once("*/")?.1)));
        let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
        hash.update(words.join(" "));
    }
    Ok(hex::encode(hash.finalize()).chars().take(12).collect())
}
