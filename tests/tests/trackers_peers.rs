//! `TensorBoard`'s own reader reads the event files of a run that failed and went on: `cargo xtask test --peers`.

#![cfg(feature = "peers")]

mod common;

use std::process::Command;

use common::{Running, Sandbox};
use serde_json::{Value, json};

/// What `TensorBoard` shows of a folder.
const PROGRAM: &str = "
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as Shown
from tensorboard.util.tensor_util import make_ndarray
reader = EventAccumulator(sys.argv[1])
reader.Reload()
scalars = {tag: [[event.step, event.value] for event in reader.Scalars(tag)] for tag in reader.Tags()['scalars']}
# What the server itself reads with: scalars are tensors there, too.
shown = Shown(sys.argv[1])
shown.Reload()
tensors = {tag: [[event.step, make_ndarray(event.tensor_proto)] for event in shown.Tensors(tag)]
           for tag in shown.Tags()['tensors']}
texts = {tag: [[step, value[0].decode()] for step, value in tensors[tag]]
         for tag in tensors if tag.endswith('text_summary')}
assert scalars == {tag: [[step, float(value)] for step, value in tensors[tag]] for tag in tensors if tag not in texts}
print(json.dumps({'scalars': scalars, 'texts': texts}))
";

#[test]
fn tensorboard_reads_a_run_that_went_on() {
    let python = std::env::var_os("TRAINLOOP_PEER_PYTHON")
        .expect("TRAINLOOP_PEER_PYTHON names a Python with tensorboard; `cargo xtask test --peers` sets it");
    let sandbox = Sandbox::new();
    for code in [1, 0] {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_trackers"));
        command.args(["9", "2", "0"]);
        let ended = Running::start(command).end();
        assert_eq!(ended.code, Some(code), "{ended:#?}");
    }
    let output =
        Command::new(python).args(["-c", PROGRAM]).arg(sandbox.storage().join("run/tensorboard")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = [0_u64, 2, 4, 6, 8, 10];
    let loss: Vec<Value> =
        steps.iter().map(|step| json!([step, f64::from((1.0 / (step + 1) as f64) as f32)])).collect();
    let rank: Vec<Value> = steps.iter().map(|step| json!([step, 0.0])).collect();
    let expected = json!({
        "train/loss": loss,
        "train/rank": rank,
        "reported": [[3, 4.5], [7, 8.5], [11, 12.5]],
    });
    assert_eq!(read["scalars"], expected, "{read:#}");
    let texts = &read["texts"];
    assert_eq!(texts["note/text_summary"], json!([[7, "half, and \"more\""]]), "{read:#}");
    assert!(texts["config/text_summary"][0][1].as_str().unwrap().contains("| lr | 0.1 |"), "{read:#}");
}
