//! Kills the program `chaos` again and again, for `cargo xtask chaos`, which builds both. The last line is the verdict.
//!
//!     chaos_campaign KILLS SEED FOLDER

use std::path::PathBuf;
use std::process::ExitCode;

use trainloop_tests::chaos::{Options, Result, run};

fn main() -> ExitCode {
    match campaign() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn campaign() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kills, seed, folder] = arguments.as_slice() else {
        return Err("three arguments: how many kills, a seed, a folder".into());
    };
    let program = std::env::current_exe()?.with_file_name("chaos");
    let options = Options { program, folder: PathBuf::from(folder), kills: kills.parse()?, seed: seed.parse()? };
    let verdict = run(&options, &mut |line| eprintln!("{line}"))?;
    println!("{}", serde_json::to_string(&verdict)?);
    Ok(verdict.is_good())
}
