//! What the macros cost: a clean build of their crate, beside those of `thiserror` and `clap` on the same machine, and how
//! long what they make is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Parser;
use serde_json::json;
use trainloop_benches::median;

/// The build time of the macro crate, and the sizes of expansions.
#[derive(Parser)]
struct Options {
    /// Builds of each crate
    #[arg(long, default_value_t = 3)]
    builds: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A proc-macro crate, as a dependency.
struct Subject {
    name: &'static str,
    dependency: String,
}

/// Median seconds: with its dependencies, and alone.
struct Times {
    clean: f64,
    alone: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let macros = Path::new(env!("CARGO_MANIFEST_DIR")).join("../macros").canonicalize()?;
    let subjects = [
        Subject {
            name: "trainloop-macros",
            dependency: format!("trainloop-macros = {{ path = '{}' }}", macros.display()),
        },
        Subject { name: "thiserror-impl", dependency: "thiserror-impl = \"2\"".to_owned() },
        Subject { name: "clap_derive", dependency: "clap_derive = \"4.5\"".to_owned() },
    ];
    let mut built = Vec::new();
    for subject in &subjects {
        built.push((subject.name, measure(subject, options.builds)?));
    }
    let sizes = expansions(&macros.join("snapshots"))?;
    if options.json {
        let times =
            built.iter().map(|(name, times)| json!({ "crate": name, "clean_s": times.clean, "alone_s": times.alone }));
        let sizes = sizes.iter().map(|(name, lines)| json!({ "expansion": name, "lines": lines }));
        println!("{}", json!({ "builds": times.collect::<Vec<_>>(), "expansions": sizes.collect::<Vec<_>>() }));
        return Ok(());
    }
    println!("crate             with dependencies  alone");
    for (name, times) in &built {
        println!("{name:<17} {:>14.2} s {:>7.2} s", times.clean, times.alone);
    }
    println!("\nexpansion of the documents' first  lines");
    for (name, lines) in &sizes {
        println!("{name:<34} {lines:>5}");
    }
    Ok(())
}

/// Builds the crate from nothing, and again without its dependencies, in a package of its own.
fn measure(subject: &Subject, builds: usize) -> Result<Times, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let manifest = format!(
        "[workspace]\n[package]\nname = \"subject\"\nedition = \"2024\"\n[dependencies]\n{}\n",
        subject.dependency
    );
    fs::create_dir(folder.path().join("src"))?;
    fs::write(folder.path().join("Cargo.toml"), manifest)?;
    fs::write(folder.path().join("src/lib.rs"), "")?;
    cargo(folder.path(), &["fetch"])?;
    let (mut clean, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..builds {
        cargo(folder.path(), &["clean"])?;
        clean.push(cargo(folder.path(), &["build", "--package", subject.name])?);
        cargo(folder.path(), &["clean", "--package", subject.name])?;
        alone.push(cargo(folder.path(), &["build", "--package", subject.name])?);
    }
    let of = |seconds: &[f64]| median(seconds).unwrap_or(f64::NAN);
    Ok(Times { clean: of(&clean), alone: of(&alone) })
}

/// Seconds.
fn cargo(folder: &Path, arguments: &[&str]) -> Result<f64, Box<dyn std::error::Error>> {
    let began = Instant::now();
    let status = Command::new("cargo")
        .args(arguments)
        .arg("--quiet")
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("cargo {} failed: {status}", arguments.join(" ")).into());
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Each snapshot's name and number of lines.
fn expansions(folder: &Path) -> std::io::Result<Vec<(String, usize)>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let size = |path: PathBuf| {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((name, fs::read_to_string(path)?.lines().count()))
    };
    files.into_iter().map(size).collect()
}
