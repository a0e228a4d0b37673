//! The expected values again, live, from the PyTorch of `TRAINLOOP_PEER_PYTHON`: `cargo xtask test --peers`.

#![cfg(feature = "peers")]

#[path = "numerics_common/mod.rs"]
mod common;
#[path = "../../runtime/tests/weights/expected.rs"]
mod weights;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use trainloop::data::{arrow, parquet};

/// Where the scripts and what they made are kept.
fn kept_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/expected")
}

/// Runs `expected/NAME.py` in a temporary folder.
fn fresh(name: &str) -> TempDir {
    let python = std::env::var_os("TRAINLOOP_PEER_PYTHON")
        .expect("TRAINLOOP_PEER_PYTHON names a Python with torch; `cargo xtask test --peers` sets it");
    let kept = kept_folder();
    let folder = tempfile::tempdir().unwrap();
    // A script writes beside itself.
    let script = folder.path().join(name).with_extension("py");
    std::fs::copy(kept.join(name).with_extension("py"), &script).unwrap();
    let output = Command::new(python).arg(&script).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{name}.py failed:\n{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// The JSON that `expected/NAME.py` makes and the one that is kept, each without its version of PyTorch.
fn fresh_and_kept(name: &str) -> [Value; 2] {
    let fresh = fresh(name);
    [fresh.path(), &kept_folder()].map(|folder| {
        let text = std::fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
        let mut file: Value = serde_json::from_str(&text).unwrap();
        file.as_object_mut().unwrap().remove("torch").unwrap();
        file
    })
}

/// What is kept is what PyTorch gives.
fn compare(name: &str) {
    let [fresh, kept] = fresh_and_kept(name);
    // Both are too long to print.
    assert!(fresh == kept, "{name}.json of this PyTorch differs from the kept one");
}

/// PyTorch's `DistributedDataParallel.join` gives the gradients and weights of join.json.
#[test]
fn join() {
    compare("join");
}

/// PyTorch's `DistributedSampler` gives the tables of sampler.json.
#[test]
fn sampler() {
    compare("sampler");
}

/// PyTorch's `WeightedRandomSampler` gives the draws of weighted.json.
#[test]
fn weighted() {
    compare("weighted");
}

/// PyTorch's `AveragedModel` gives the averages of ema.json.
#[test]
fn ema() {
    compare("ema");
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

/// Files that this PyTorch saves are read as it reads them itself, and they hold what the kept ones do.
#[test]
fn state_dict() {
    let folder = fresh("state_dict");
    let text = std::fs::read_to_string(folder.path().join("state_dict.json")).unwrap();
    weights::assert_read(&folder.path().join("state_dict"), &serde_json::from_str(&text).unwrap());
    compare("state_dict");
}

/// Tables that this Arrow writes are read as those of the kept ones.
#[test]
fn tables() {
    let folder = fresh("tables");
    for file in std::fs::read_dir(folder.path().join("tables")).unwrap().map(Result::unwrap) {
        let name = file.file_name();
        let read = |path: &Path| {
            let is_parquet = path.extension().is_some_and(|extension| extension == "parquet");
            if is_parquet { parquet::read(path).unwrap() } else { arrow::read(path).unwrap() }
        };
        let [fresh, kept] = [read(&file.path()), read(&kept_folder().join("tables").join(&name))];
        assert_eq!((fresh.len(), fresh.columns()), (kept.len(), kept.columns()), "{name:?}");
        for column in ["weight", "label", "code", "half", "pixels"] {
            let [fresh, kept] = [&fresh, &kept].map(|table| table.column::<f64>(column).unwrap());
            assert_eq!(fresh, kept, "{name:?}: {column}");
        }
        assert_eq!(fresh.texts("species").unwrap(), kept.texts("species").unwrap(), "{name:?}");
    }
}

/// PyTorch's batch norm over the global batch has the losses and values of `sync_batch_norm.json`.
#[test]
fn sync_batch_norm() {
    compare_nearly("sync_batch_norm");
}

/// PyTorch's GAN has the losses and values of gan.json.
#[test]
fn gan() {
    compare_nearly("gan");
}

/// What is kept is what PyTorch gives but for the last digits, which are the processor's, too.
fn compare_nearly(name: &str) {
    fn assert_near(place: &str, fresh: &Value, kept: &Value) {
        match (fresh, kept) {
            (Value::Array(fresh), Value::Array(kept)) => {
                assert_eq!(fresh.len(), kept.len(), "{place}");
                fresh.iter().zip(kept).for_each(|(fresh, kept)| assert_near(place, fresh, kept));
            }
            (Value::Object(fresh), Value::Object(kept)) => {
                assert_eq!(fresh.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>(), "{place}");
                fresh.iter().for_each(|(key, fresh)| assert_near(&format!("{place}.{key}"), fresh, &kept[key]));
            }
            (Value::Number(fresh), Value::Number(kept)) => {
                let far = common::far(fresh.as_f64().unwrap(), kept.as_f64().unwrap());
                assert!(far < 1e-12, "{place}: {fresh} is not {kept}");
            }
            _ => assert_eq!(fresh, kept, "{place}"),
        }
    }
    let [fresh, kept] = fresh_and_kept(name);
    assert_near(name, &fresh, &kept);
}

/// PyTorch's `DistributedDataParallel` and ours, each over two processes: the same losses step by step. What is kept has the
/// same nets, data and cases.
#[test]
fn ddp() {
    let [mut fresh, mut kept] = fresh_and_kept("ddp");
    common::ddp::assert_follows(&fresh);
    // Their last digits are the processor's, too.
    for case in [&mut fresh, &mut kept].into_iter().flat_map(|file| file["cases"].as_array_mut().unwrap()) {
        case["losses"].take();
        case["last"].take();
    }
    assert!(fresh == kept, "ddp.json of this PyTorch has other cases than the kept one");
}

/// No script of `expected/` is left out above.
#[test]
fn every_script_is_compared() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/expected");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let scripts = files.filter(|path| path.extension().is_some_and(|extension| extension == "py"));
    let mut names: Vec<String> = scripts.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    let compared = [
        "clip",
        "ddp",
        "ema",
        "gan",
        "join",
        "optimizers",
        "sampler",
        "scaler",
        "schedules",
        "state_dict",
        "sync_batch_norm",
        "tables",
        "weighted",
    ];
    assert_eq!(names, compared);
}
