//! Calling cargo again from inside cargo, and asking it what the workspace holds.

use std::env;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::failure::{Doing, Failure, Result, fail};

/// The repository's root: the folder above this package.
pub(crate) fn root() -> Result<PathBuf> {
    // The variable is cargo's and right even where the folder was moved after the build.
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    match package.parent() {
        Some(root) if root.join("Cargo.toml").is_file() => Ok(root.to_owned()),
        _ => fail(format!("the workspace is not above {}; start this program as `cargo xtask`", package.display())),
    }
}

/// A cargo command in `dir`, with the environment the user's own cargo would have.
///
/// The cargo that started this program left its variables behind; some build scripts are run again when
/// those change, so that `cargo xtask test` and `cargo test` would rebuild in turn. `LIBTORCH` goes too:
/// `setup` has followed it already, and the link it made is what every build uses.
pub(crate) fn cargo(dir: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(dir);
    for (name, _) in env::vars_os() {
        let stale = name
            .to_str()
            .is_some_and(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix)));
        if stale {
            command.env_remove(name);
        }
    }
    command.env_remove("LIBTORCH").env_remove("LIBTORCH_USE_PYTORCH");
    command
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = name.to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

/// Runs a command that prints for itself.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().doing(|| cannot_start(command))?;
    check(command, status)
}

/// Turns the end of a command into ours: same exit code, and 128 plus the signal's number.
pub(crate) fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Err(Failure::new(format!("`{}` failed ({status})", shown(command))).with_code(code))
}

/// Becomes the command, so that signals reach it and its exit code is ours; comes back only if it cannot start.
pub(crate) fn exec(command: &mut Command) -> Failure {
    let error = command.exec();
    Failure::new(format!("{}: {error}", cannot_start(command)))
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", shown(command))
}

/// With which features dependencies are built.
#[derive(Clone, Copy)]
pub(crate) enum Features {
    /// Those that the examples need: a first build of half the time, three minutes on two cores.
    Examples,
    /// Those of `cargo test --workspace`, so that they are built once for both.
    Workspace,
}

/// Builds an example and gives its binary.
pub(crate) fn example(root: &Path, name: &str, features: Features, release: bool) -> Result<PathBuf> {
    let mut options = match features {
        Features::Examples => vec!["--package", "trainloop-examples"],
        Features::Workspace => vec!["--workspace"],
    };
    options.extend(["--example", name]);
    options.extend(release.then_some("--release"));
    let mut built = build(root, &options, &[name])?;
    built.pop().ok_or_else(|| Failure::new(format!("cargo built no example `{name}`")))
}

/// Builds binaries and gives them, in the same order.
pub(crate) fn binaries(root: &Path, names: &[&str]) -> Result<Vec<PathBuf>> {
    // With an example among the targets, cargo counts the features that tests' dependencies have.
    let mut options = vec!["--workspace", "--examples"];
    options.extend(names.iter().flat_map(|name| ["--bin", name]));
    build(root, &options, names)
}

fn build(root: &Path, options: &[&str], names: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = cargo(root);
    command.args(["build", "--message-format", "json-render-diagnostics"]).args(options);
    let output = command.stderr(Stdio::inherit()).output().doing(|| cannot_start(&command))?;
    check(&command, output.status)?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let found = names.iter().map(|name| {
        executable(&messages, name)
            .ok_or_else(|| Failure::new(format!("`{}` did not say where `{name}` lies", shown(&command))))
    });
    found.collect()
}

/// The binary of a target, in what cargo says of a build.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut examples =
        messages.filter(|message| message["target"]["name"] == name && message["executable"].is_string());
    examples.next()?["executable"].as_str().map(PathBuf::from)
}

/// The names of a package's targets of one kind: `example` or `bin`.
pub(crate) fn targets(root: &Path, package: &str, kind: &str) -> Result<Vec<String>> {
    let mut command = cargo(root);
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = command.output().doing(|| cannot_start(&command))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        check(&command, output.status)?;
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::new(format!("`{}` answered something that is not JSON: {error}", shown(&command))))?;
    Ok(targets_in(&metadata, package, kind))
}

fn targets_in(metadata: &serde_json::Value, package: &str, kind: &str) -> Vec<String> {
    let array = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = array(&metadata["packages"])
        .iter()
        .filter(|entry| entry["name"] == package)
        .flat_map(|entry| array(&entry["targets"]))
        .filter(|target| array(&target["kind"]).iter().any(|one| one == kind))
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Refuses a name that is not among `names`, and lists those that are.
pub(crate) fn require(noun: &str, name: &str, names: &[String]) -> Result<()> {
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    if names.is_empty() {
        return fail(format!("no {noun} is named `{name}`: there is none yet"));
    }
    fail(format!("no {noun} is named `{name}`; there is: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_binary_is_found_among_the_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"digits\"},\"executable\":null}\n",
            "not json\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"other\"},\"executable\":\"/t/other\"}\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"digits\"},\"executable\":\"/t/digits\"}\n",
        );
        assert_eq!(executable(messages, "digits"), Some(PathBuf::from("/t/digits")));
        assert_eq!(executable(messages, "gone"), None);
    }

    #[test]
    fn targets_are_those_of_the_package_and_kind() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "a", "targets": [{ "name": "digits", "kind": ["example"] }, { "name": "a", "kind": ["lib"] }] },
            { "name": "b", "targets": [{ "name": "other", "kind": ["example"] }] },
        ]});
        assert_eq!(targets_in(&metadata, "a", "example"), ["digits"]);
        assert!(targets_in(&metadata, "c", "example").is_empty());
    }

    #[test]
    fn an_unknown_name_lists_those_that_exist() {
        let names = ["digits".to_owned(), "text".to_owned()];
        assert!(require("example", "text", &names).is_ok());
        let failure = require("example", "digit", &names).unwrap_err();
        assert_eq!(failure.to_string(), "no example is named `digit`; there is: digits, text");
    }

    #[test]
    fn a_failing_command_gives_its_own_code() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        assert_eq!(run(&mut command).unwrap_err().code, 7);
        let mut command = Command::new("sh");
        command.args(["-c", "kill -INT $$"]);
        assert_eq!(run(&mut command).unwrap_err().code, 130);
    }
}
