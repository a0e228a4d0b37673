//! A C++ compiler: without one the workspace does not build, whatever libtorch there is.

use std::env;
use std::process::{Command, Stdio};

use crate::failure::{Result, fail};

/// Asks `CXX`, or `c++`, for its version.
pub(super) fn check() -> Result<()> {
    let named = env::var("CXX").ok().filter(|value| !value.trim().is_empty());
    check_command(named.as_deref().unwrap_or("c++"), named.is_some())
}

fn check_command(line: &str, named: bool) -> Result<()> {
    // `CXX` may hold a wrapper too: `ccache g++`.
    let mut words = line.split_whitespace();
    let answered = words.next().is_some_and(|program| {
        Command::new(program)
            .args(words)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    if answered {
        return Ok(());
    }
    let mend = if named {
        "the variable CXX names it: set it to a C++ compiler, or unset it"
    } else {
        "install one (Debian, Ubuntu: `apt install g++`; Fedora: `dnf install gcc-c++`), or name yours in CXX"
    };
    fail(format!(
        "no C++ compiler: `{line} --version` does not work, and a part of the workspace is C++ over libtorch\n  {mend}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_is_not_there_is_told_with_the_mend() {
        assert!(check_command("env echo", false).is_ok());
        let text = check_command("no-such-compiler", false).unwrap_err().to_string();
        assert!(text.contains("no-such-compiler") && text.contains("install"), "{text}");
        let text = check_command("false", true).unwrap_err().to_string();
        assert!(text.contains("CXX names it"), "{text}");
    }
}
