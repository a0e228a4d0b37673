//! Kills the program `chaos` again and again, or lets it live through faults, for `cargo xtask chaos`, which builds both. The
//! last line is the verdict.
//!
//!     chaos_campaign kills HOW_MANY SEED FOLDER
//!     chaos_campaign minutes HOW_MANY SEED FOLDER

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use trainloop_tests::chaos::{Options, Ordeal, Result, endure, run};

/// For how long nothing may be heard of a rank: a fault has 12 seconds, and what follows must fit.
const SILENCE: Duration = Duration::from_secs(2);

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
    let [what, how_many, seed, folder] = arguments.as_slice() else {
        return Err("four arguments: `kills` or `minutes`, how many, a seed, a folder".into());
    };
    let program = std::env::current_exe()?.with_file_name("chaos");
    let (folder, seed, say) = (PathBuf::from(folder), seed.parse()?, &mut |line| eprintln!("{line}"));
    match what.as_str() {
        "kills" => {
            let verdict = run(&Options { program, folder, kills: how_many.parse()?, seed }, say)?;
            println!("{}", serde_json::to_string(&verdict)?);
            Ok(verdict.is_good())
        }
        "minutes" => {
            let minutes: u32 = how_many.parse()?;
            let time = Duration::from_secs(60) * minutes;
            let of_each = minutes as usize;
            let verdict = endure(&Ordeal { program, folder, of_each, time, seed, silence: SILENCE }, say)?;
            println!("{}", serde_json::to_string(&verdict)?);
            Ok(verdict.is_good())
        }
        other => Err(format!("`{other}` is neither `kills` nor `minutes`").into()),
    }
}
