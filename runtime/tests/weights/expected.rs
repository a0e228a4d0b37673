//! Files of PyTorch's, against what PyTorch itself reads from them: `expected/state_dict.py`.

use std::path::Path;

use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};
use trainloop::weights::Weights;

/// Each file that the JSON describes has these tensors, and no other.
pub(crate) fn assert_read(folder: &Path, described: &Value) {
    let mut files = 0;
    for (name, tensors) in described.as_object().unwrap().iter().filter(|(name, _)| *name != "torch") {
        let path = folder.join(name).with_extension("pt");
        let weights = Weights::open(&path).unwrap();
        let layouts = weights.layouts();
        let tensors = tensors.as_object().unwrap();
        let mut expected: Vec<&String> = tensors.keys().collect();
        expected.sort();
        assert_eq!(layouts.keys().collect::<Vec<_>>(), expected, "{name}");
        let mut vars = VarStore::new(Device::Cpu);
        for (key, (shape, kind)) in &layouts {
            assert_eq!(kind_name(*kind), tensors[key]["dtype"], "{name}: {key}");
            assert_eq!(serde_json::to_value(shape).unwrap(), tensors[key]["shape"], "{name}: {key}");
            let tensor = Tensor::full(shape, 1, (*kind, Device::Cpu));
            vars.variables_.lock().unwrap().named_variables.insert(key.clone(), tensor);
        }
        weights.load(&mut vars).unwrap();
        for (key, tensor) in vars.variables() {
            let values = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap();
            assert_eq!(serde_json::to_value(values).unwrap(), tensors[&key]["values"], "{name}: {key}");
        }
        files += 1;
    }
    assert!(files >= 6, "{files} files");
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::Uint8 => "uint8",
        Kind::Int8 => "int8",
        Kind::Int16 => "int16",
        Kind::Int => "int32",
        Kind::Int64 => "int64",
        Kind::Half => "float16",
        Kind::BFloat16 => "bfloat16",
        Kind::Float => "float32",
        Kind::Double => "float64",
        other => panic!("no dtype of a state dict: {other:?}"),
    }
}
