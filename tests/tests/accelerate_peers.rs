//! A loop with our `Accelerator` and one with Python's, from the same weights and data: `cargo xtask test --peers`.

#![cfg(feature = "peers")]

#[path = "accelerate_common/mod.rs"]
mod common;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{play, work};
use serde_json::{Value, json};

const RANKS: usize = 2;

/// What rank 0 of `peers/accelerate_train.py` prints.
fn python(work: &Value) -> Value {
    let python = std::env::var_os("TRAINLOOP_PEER_PYTHON")
        .expect("TRAINLOOP_PEER_PYTHON names a Python with torch; `cargo xtask test --peers` sets it");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    std::fs::write(&config, work.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/accelerate_train.py");
    // Free now; torch takes it in a moment.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rank = |rank: usize| {
        let mut command = Command::new(&python);
        command.arg(&script).arg(&config).stdout(Stdio::piped()).stderr(Stdio::piped());
        let rank = rank.to_string();
        command.envs([("RANK", rank.as_str()), ("LOCAL_RANK", &rank), ("WORLD_SIZE", &RANKS.to_string())]);
        command.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", &port.to_string()), ("GLOO_SOCKET_IFNAME", "lo")]);
        command.spawn().unwrap()
    };
    let ranks: Vec<_> = (0..RANKS).map(rank).collect();
    let outputs: Vec<_> = ranks.into_iter().map(|rank| rank.wait_with_output().unwrap()).collect();
    for output in &outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let stdout = String::from_utf8(outputs[0].stdout.clone()).unwrap();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

/// A batch's numbers; NaN for the norm that there is none of.
fn numbers(batch: &Value) -> [f64; 3] {
    ["loss", "lr", "norm"].map(|name| batch[name].as_f64().unwrap_or(f64::NAN))
}

/// The greatest distance of a number, and where the losses, rates or norms of a batch first differ.
fn differ(ours: &Value, theirs: &Value) -> (f64, Option<usize>) {
    let (ours, theirs) = (ours["batches"].as_array().unwrap(), theirs["batches"].as_array().unwrap());
    assert_eq!(ours.len(), theirs.len());
    let far = |(ours, theirs): (&Value, &Value)| -> f64 {
        let pairs = numbers(ours).into_iter().zip(numbers(theirs));
        pairs.filter(|(ours, theirs)| !(ours.is_nan() && theirs.is_nan())).fold(0.0, |worst, (ours, theirs)| {
            let far = (ours - theirs).abs();
            if far.is_nan() { f64::INFINITY } else { worst.max(far) }
        })
    };
    let far: Vec<f64> = ours.iter().zip(theirs).map(far).collect();
    (far.iter().copied().fold(0.0, f64::max), far.iter().position(|&far| far > 1e-10))
}

/// Two ranks, windows of three batches and a last one of two, clipped, under a cosine: every loss, learning rate and norm of
/// three epochs, and the weights. Each of 82 samples is gathered once, on both sides.
///
/// One difference is meant. Accelerate divides every loss by the length of a whole window, so that the gradients of a short one
/// come out too small; here a window is the mean over the samples that it has. The Python loop mends that itself
/// (`mend_short_windows`); the same loop without the mend leaves ours at the first short window, by just that factor.
#[test]
fn both_accelerators_train_alike() {
    let mut work = work(40);
    let ours = play("train", RANKS, Some(&work)).0["output"].take();
    work["mend_short_windows"] = json!(true);
    let theirs = python(&work);
    let (far, place) = differ(&ours, &theirs);
    println!("losses, learning rates and norms of {} batches: {far:e}", ours["batches"].as_array().unwrap().len());
    assert!(place.is_none(), "batch {place:?} differs: {ours:#} {theirs:#}");
    for (name, values) in ours["weights"].as_object().unwrap() {
        let pairs = values.as_array().unwrap().iter().zip(theirs["weights"][name].as_array().unwrap());
        let far = pairs.map(|(ours, theirs)| (ours.as_f64().unwrap() - theirs.as_f64().unwrap()).abs());
        assert!(far.fold(0.0, f64::max) < 1e-10, "{name}");
    }
    assert_eq!(ours["gathered"], json!((0..82).collect::<Vec<_>>()));
    assert_eq!(theirs["gathered"], ours["gathered"]);

    work["mend_short_windows"] = json!(false);
    let unmended = python(&work);
    // The first epoch has a window of batches 0 to 2 and a short one of 3 and 4.
    let (_, place) = differ(&ours, &unmended);
    assert_eq!(place, Some(4), "they are alike up to the first short window");
    let ratio = unmended["batches"][4]["norm"].as_f64().unwrap() / ours["batches"][4]["norm"].as_f64().unwrap();
    assert!((ratio - 2.0 / 3.0).abs() < 1e-10, "{ratio}");
}
