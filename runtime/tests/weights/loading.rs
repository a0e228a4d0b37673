//! All weights, a part of them, and under other names.

use std::path::Path;

use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor};
use trainloop::weights::{LoadReport, Weights};

use super::kept;

/// A store with the names, shapes and dtypes of a file, all 1.
pub(super) fn vars_like(path: &Path) -> VarStore {
    let vars = VarStore::new(Device::Cpu);
    for (name, (shape, kind)) in Weights::open(path).unwrap().layouts() {
        let tensor = Tensor::full(shape, 1, (kind, Device::Cpu));
        vars.variables_.lock().unwrap().named_variables.insert(name, tensor);
    }
    vars
}

/// The net of `state_dict.py`, as one writes it with tch, its head under another name.
fn net(head: &str, classes: i64) -> VarStore {
    let vars = VarStore::new(Device::Cpu);
    let root = vars.root();
    let _conv = nn::conv2d(&root / "conv", 1, 2, 3, nn::ConvConfig::default());
    let _norm = nn::batch_norm2d(&root / "norm", 2, nn::BatchNormConfig::default());
    let _head = nn::linear(&root / head, 2, classes, nn::LinearConfig::default());
    vars
}

fn values(vars: &VarStore, name: &str) -> Vec<f32> {
    Vec::try_from(vars.variables()[name].detach().flatten(0, -1)).unwrap()
}

fn all(vars: &VarStore) -> Vec<(String, Vec<f32>)> {
    let mut all: Vec<_> = vars.variables().into_keys().map(|name| (name.clone(), values(vars, &name))).collect();
    all.sort_by(|(left, _), (right, _)| left.cmp(right));
    all
}

#[test]
fn a_net_of_tchs_takes_pytorchs_weights() {
    let mut vars = net("head", 3);
    Weights::open(kept("net.pt")).unwrap().ignore("*.num_batches_tracked").load(&mut vars).unwrap();
    // The script's: (place of the name in the state dict + index) % 7 - 3.
    assert_eq!(values(&vars, "conv.bias"), [-2.0, -1.0]);
    assert_eq!(values(&vars, "norm.running_var"), [2.0, 3.0]);
    assert_eq!(values(&vars, "head.bias"), [-2.0, -1.0, 0.0]);
    assert!(vars.trainable_variables().iter().all(Tensor::requires_grad), "they are still trained");
}

#[test]
fn strictly_every_name_must_be_on_both_sides() {
    let mut vars = net("classifier", 3);
    let before = all(&vars);
    let error = Weights::open(kept("net.pt")).unwrap().load(&mut vars).unwrap_err().to_string();
    for words in ["asks for `classifier.bias`, `classifier.weight`", "`head.bias`, `head.weight`", "`load_partial`"] {
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(all(&vars), before);
    let weights = Weights::open(kept("net.pt")).unwrap().ignore("*.num_batches_tracked");
    weights.rename("head.*", "classifier.*").load(&mut vars).unwrap();
    assert_eq!(values(&vars, "classifier.bias"), [-2.0, -1.0, 0.0]);
}

#[test]
fn a_partial_load_says_what_it_left() {
    let mut vars = net("classifier", 5);
    let before = all(&vars);
    let weights = Weights::open(kept("net.pt")).unwrap().ignore("head.weight");
    let report = weights.load_partial(&mut vars).unwrap();
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let expected = LoadReport {
        loaded: names(&[
            "conv.bias",
            "conv.weight",
            "norm.bias",
            "norm.running_mean",
            "norm.running_var",
            "norm.weight",
        ]),
        missing: names(&["classifier.bias", "classifier.weight"]),
        unexpected: names(&["head.bias", "norm.num_batches_tracked"]),
    };
    assert_eq!(report, expected);
    assert_eq!(
        report.to_string(),
        "6 of 8 variables loaded; missing: `classifier.bias`, `classifier.weight`; unexpected: `head.bias`, \
         `norm.num_batches_tracked`"
    );
    assert!(!report.is_complete());
    for (name, values) in all(&vars) {
        let before = &before.iter().find(|(other, _)| *other == name).unwrap().1;
        assert_eq!(values == *before, name.starts_with("classifier."), "{name}");
    }
}

#[test]
fn shapes_and_dtypes_that_differ_are_both_named() {
    let mut vars = net("head", 5);
    let before = all(&vars);
    let error = Weights::open(kept("net.pt")).unwrap().load_partial(&mut vars).unwrap_err().to_string();
    for words in ["`head.bias` has the shape [3], and [5] in the model", "`.ignore(\"head.bias\")`"] {
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(all(&vars), before);

    let open = || Weights::open(kept("dtypes.pt")).unwrap();
    let of_kind = |kind: Kind| {
        let vars = VarStore::new(Device::Cpu);
        let tensor = Tensor::zeros([2, 3], (kind, Device::Cpu));
        vars.variables_.lock().unwrap().named_variables.insert("w".to_owned(), tensor);
        vars
    };
    let mut vars = of_kind(Kind::Float);
    for from in ["float64", "float16", "bfloat16"] {
        let error = open().rename(from, "w").load_partial(&mut vars).unwrap_err().to_string();
        assert!(error.contains("float in the model") && error.contains("`.cast()`"), "{error}");
        let report = open().rename(from, "w").cast().load_partial(&mut vars).unwrap();
        assert_eq!(report.loaded, ["w"]);
        assert_eq!(values(&vars, "w"), [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0]);
        assert_eq!(vars.variables()["w"].kind(), Kind::Float);
    }
    for (from, to) in [("int64", Kind::Float), ("bool", Kind::Float), ("float32", Kind::Int64)] {
        let error = open().rename(from, "w").cast().load_partial(&mut of_kind(to)).unwrap_err().to_string();
        assert!(error.contains("only floating-point numbers are converted"), "{error}");
    }
}

#[test]
fn nothing_in_common_is_an_error() {
    let mut vars = net("head", 3);
    let error = Weights::open(kept("dtypes.pt")).unwrap().load_partial(&mut vars).unwrap_err().to_string();
    assert!(error.contains("nothing that the model asks for") && error.contains("`conv.bias`"), "{error}");
    let error = Weights::open(kept("net.pt")).unwrap().ignore("hed.*").load(&mut vars).unwrap_err().to_string();
    assert!(error.contains("`hed.*` matches no name of the file") && error.contains("`head.bias`"), "{error}");
}

#[test]
fn a_model_inside_a_dictionary_is_taken_out() {
    let mut vars = net("head", 3);
    let weights = Weights::open(kept("nested.pt")).unwrap().under("model").ignore("norm.num_batches_tracked");
    weights.load(&mut vars).unwrap();
    let mut again = net("head", 3);
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("saved.safetensors");
    vars.save(&path).unwrap();
    Weights::open(&path).unwrap().load(&mut again).unwrap();
    assert_eq!(all(&vars), all(&again));
    let mut backbone = net("classifier", 3);
    let report =
        Weights::open(&path).unwrap().rename_with(|name| name.replace("head", "other")).load_partial(&mut backbone);
    assert_eq!(report.unwrap().missing, ["classifier.bias", "classifier.weight"]);
    assert_eq!(values(&backbone, "conv.weight"), values(&vars, "conv.weight"));
}
