//! Python's `safetensors` reads a checkpoint's tensors: `cargo xtask test --peers`.

#![cfg(feature = "peers")]

mod common;
mod script_common;

use std::process::Command;

use common::Sandbox;
use script_common::{Play, state};
use serde_json::{Value, json};

#[test]
fn python_reads_the_tensors() {
    let python = std::env::var_os("TRAINLOOP_PEER_PYTHON")
        .expect("TRAINLOOP_PEER_PYTHON names a Python with torch; `cargo xtask test --peers` sets it");
    let sandbox = Sandbox::new();
    let play = Play::new(&sandbox, 0);
    play.finish(&sandbox, &vec![vec![vec![state("1")]]]);
    let program = "import json, sys; from safetensors.torch import load_file; \
                   tensors = load_file(sys.argv[1]).items(); \
                   print(json.dumps({name: [str(t.dtype), t.tolist()] for name, t in tensors}))";
    let mut command = Command::new(python);
    let output = command.args(["-c", program]).arg(play.checkpoint(0).join("model.safetensors")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "weight": ["torch.float32", [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]],
        "bias": ["torch.float32", [-1.0, -1.0]],
    });
    assert_eq!(read, expected);
}
