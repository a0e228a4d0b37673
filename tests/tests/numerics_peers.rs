//! The expected values again, live, from the PyTorch of `TRAINLOOP_PEER_PYTHON`: `cargo xtask test --peers`.

#![cfg(feature = "peers")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs `expected/NAME.py` in a temporary folder and compares the JSON that it makes with the one that is kept, up to
/// the version of PyTorch.
fn compare(name: &str) {
    let python = std::env::var_os("TRAINLOOP_PEER_PYTHON")
        .expect("TRAINLOOP_PEER_PYTHON names a Python with torch; `cargo xtask test --peers` sets it");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/expected");
    let folder = tempfile::tempdir().unwrap();
    // A script writes beside itself.
    let script = folder.path().join(name).with_extension("py");
    std::fs::copy(kept.join(name).with_extension("py"), &script).unwrap();
    let output = Command::new(python).arg(&script).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{name}.py failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let read = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
        let mut file: Value = serde_json::from_str(&text).unwrap();
        let version = file.as_object_mut().unwrap().remove("torch").unwrap();
        (file, version)
    };
    let ((fresh, version), (kept, kept_version)) = (read(folder.path()), read(&kept));
    // Both are too long to print.
    assert!(fresh == kept, "{name}.json of PyTorch {version} differs from the kept one, of {kept_version}");
}

/// PyTorch's `DistributedSampler` gives the tables of sampler.json.
#[test]
fn sampler() {
    compare("sampler");
}

/// PyTorch's optimizers give the steps of optimizers.json.
#[test]
fn optimizers() {
    compare("optimizers");
}

/// PyTorch's `clip_grad_norm_` gives the gradients of clip.json.
#[test]
fn clip() {
    compare("clip");
}

/// PyTorch's `GradScaler` gives the scales and steps of scaler.json.
#[test]
fn scaler() {
    compare("scaler");
}

/// PyTorch's schedulers give the learning rates of schedules.json.
#[test]
fn schedules() {
    compare("schedules");
}

/// PyTorch's `DistributedDataParallel` over two processes gives the losses and weights of ddp.json.
#[test]
fn ddp() {
    compare("ddp");
}

/// No script of `expected/` is left out above.
#[test]
fn every_script_is_compared() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/expected");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let scripts = files.filter(|path| path.extension().is_some_and(|extension| extension == "py"));
    let mut names: Vec<String> = scripts.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["clip", "ddp", "optimizers", "sampler", "scaler", "schedules"]);
}
