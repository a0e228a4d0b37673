//! What is asked of `python3`: that it is there, and where its torch lies.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::failure::{Failure, Result, fail};

const MEND: &str = "install it (Debian, Ubuntu: `apt install python3 python3-pip python3-venv`; \
    Fedora: `dnf install python3-pip`), or set LIBTORCH to the folder of a libtorch that you have";

/// Python's command, once it has been seen to work.
pub(crate) fn python3() -> Result<&'static str> {
    ask(&["--version"]).map(|_| "python3")
}

/// Refuses a Python without pip.
pub(super) fn require_pip() -> Result<()> {
    python3()?;
    ask(&["-m", "pip", "--version"])
        .map(drop)
        .map_err(|failure| Failure::new(format!("python3 has no pip: {failure}\n  {MEND}")))
}

/// The folder of the torch that `python3` imports, which is a libtorch too.
pub(super) fn torch() -> Result<PathBuf> {
    // Found but not imported: an import takes seconds, and its version is in the headers as well.
    let script = "import importlib.util as u; s = u.find_spec('torch'); \
                  print(s.submodule_search_locations[0] if s else '')";
    let answer = ask(&["-c", script])?;
    if answer.is_empty() {
        return fail(
            "LIBTORCH_USE_PYTORCH is set, and python3 has no torch\n  \
             activate the environment that has it, or unset LIBTORCH_USE_PYTORCH",
        );
    }
    Ok(PathBuf::from(answer))
}

/// What `python3` prints.
fn ask(args: &[&str]) -> Result<String> {
    let output = Command::new("python3")
        .args(args)
        .output()
        .map_err(|error| Failure::new(format!("cannot start python3, which is needed here: {error}\n  {MEND}")))?;
    answer(&output)
}

fn answer(output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rfind(|line| !line.trim().is_empty());
    fail(format!("python3 failed ({}): {}", output.status, last.unwrap_or("it says nothing").trim()))
}
