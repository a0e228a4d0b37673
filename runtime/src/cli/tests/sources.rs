//! Values from `--config` and `--set`: which one counts, that each is read as its own option would read it, and what is said
//! of every mistake.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Everything, Mode, mistake, parse};
use crate::cli::{Cli, CliError, Config};

/// A folder with one file.
struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        Self { _folder: folder, path }
    }

    /// Parses `--config` with this file, and the words of `line`.
    fn with<C: Config>(&self, line: &str) -> Result<Cli<C>, CliError> {
        let path = self.path.display().to_string();
        Cli::try_parse_from(["digits", "--config", &path].into_iter().chain(line.split_whitespace()))
    }

    fn config(&self, line: &str) -> Everything {
        self.with(line).unwrap().config
    }

    /// The message, without usage and tips, with the file's name alone.
    fn mistake(&self, line: &str) -> String {
        let error = self.with::<Everything>(line).unwrap_err();
        assert!(!error.is_help());
        let folder = format!("{}/", self.path.parent().unwrap().display());
        let text = error.to_string().replace(&folder, "");
        assert!(text.ends_with("For more information, try '--help'."), "{text}");
        text.split("\n\n").next().unwrap_or_default().to_owned()
    }
}

const TYPED: &str = "--epochs 1 --batch 2 --lr 1e-3 --shift -3 --folder there --mode fast --max-steps -1 --width 64 \
                     --width 32 --beta 0.1 --augment --shuffle=false --type x=y";

const TOML: &str = "
# Every field, by its own name or its option's.
epochs = 1
batch = 0x2
lr = 1e-3
shift = -3
folder = 'there'
mode = \"fast\"
max-steps = -1
width = [64, 3_2]
beta = [
    0.1,
]
augment = true
shuffle = false
type = 'x=y'
";

const JSON: &str = r#"{
    "epochs": 1, "batch_size": 2, "lr": 0.001, "shift": -3, "folder": "there", "mode": "\u0066ast", "max_steps": -1,
    "width": [64, 32], "beta": [1e-1], "augment": true, "shuffle": false, "type": "x=y"
}"#;

#[test]
fn a_file_and_sets_give_what_options_give() {
    let typed = parse(TYPED).config;
    assert_eq!(File::new("run.toml", TOML).config(""), typed);
    assert_eq!(File::new("run.json", JSON).config(""), typed);
    assert_eq!(File::new("run.JSON", JSON).config(""), typed);
    let sets = "--set epochs=1 --set=batch_size=2 --set lr=1e-3 --set shift=-3 --set folder=there --set mode=fast --set \
                max-steps=-1 --set width=64 --set width=32 --set beta=0.1 --set augment=true --set shuffle=false --set \
                type=x=y";
    assert_eq!(parse(sets).config, typed);
}

#[test]
fn what_a_file_leaves_out_is_the_default() {
    let default = parse("--epochs 8").config;
    assert_eq!(File::new("run.toml", "epochs = 8").config(""), default);
    assert_eq!(File::new("run.json", r#"{"epochs": 8, "max_steps": null, "type": null}"#).config(""), default);
    assert_eq!(File::new("run.toml", "").config("--epochs 8"), default);
    // An empty list is a list that was given.
    for file in [File::new("run.toml", "epochs = 8\nbeta = []"), File::new("run.json", r#"{"epochs": 8, "beta": []}"#)]
    {
        assert_eq!(file.config(""), Everything { beta: Vec::new(), ..default.clone() });
    }
}

#[test]
fn the_command_line_counts_before_the_file() {
    let file = File::new("run.toml", TOML);
    let expected = Everything {
        epochs: 9,
        lr: 0.25,
        mode: Mode::Exact,
        max_steps: Some(7),
        width: vec![5],
        beta: vec![0.2, 0.3],
        augment: false,
        shuffle: true,
        ..parse(TYPED).config
    };
    let line = "--set epochs=9 --lr 0.25 --mode exact --set max_steps=7 --width 5 --set beta=0.2 --set beta=0.3 \
                --augment=false --set shuffle=true --workers 3";
    assert_eq!(file.config(line), expected);
    assert_eq!(file.with::<Everything>(line).unwrap().run.workers, Some(3));
}

/// Numbers that an `f64` or an `i64` on the way would change.
#[derive(Config, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[config(crate = crate)]
struct Numbers {
    half: f32,
    tenth: f64,
    smallest: f64,
    unbounded: f64,
    whole: f64,
    largest: u128,
    word: String,
}

#[test]
fn numbers_are_read_once() {
    // A decimal so close to the middle between two `f32` that an `f64` between would round it to the other.
    let half = "1.00000017881393432617187499";
    let largest = u128::MAX.to_string();
    let values = [
        ("half", half),
        ("tenth", "0.1"),
        ("smallest", "5e-324"),
        ("unbounded", "-1e400"),
        ("whole", "3"),
        ("largest", &largest),
        ("word", "1.50"),
    ];
    let options = values.map(|(name, text)| format!("--{name}={text}"));
    let typed = |line: &[String]| Cli::<Numbers>::try_parse_from(["x".to_owned()].iter().chain(line)).unwrap().config;
    let expected = typed(&options);
    #[allow(clippy::cast_possible_truncation)]
    let rounded_twice = half.parse::<f64>().unwrap() as f32;
    assert_ne!(expected.half.to_bits(), rounded_twice.to_bits());
    assert_eq!((expected.largest, expected.unbounded), (u128::MAX, f64::NEG_INFINITY));

    assert_eq!(typed(&values.map(|(name, text)| format!("--set={name}={text}"))), expected);
    let json = format!("{{{}}}", values.map(|(name, text)| format!("\"{name}\": {text}")).join(", "));
    assert_eq!(File::new("run.json", json).with::<Numbers>("").unwrap().config, expected);
    let toml = values.map(|(name, text)| format!("{name} = {text}\n")).concat();
    let hexadecimal = toml.replace(&largest, &format!("0x{:x}", u128::MAX)).replace("-1e400", "-inf");
    for toml in [toml, hexadecimal] {
        assert_eq!(File::new("run.toml", toml).with::<Numbers>("").unwrap().config, expected);
    }
}

#[test]
fn a_mistake_of_set_names_it() {
    for (line, expected) in [
        (
            "--set lr",
            "invalid value 'lr' for '--set <NAME=VALUE>': it is no field's name and value; write '--set lr=VALUE'",
        ),
        (
            "--set =3",
            "invalid value '=3' for '--set <NAME=VALUE>': it is no field's name and value; write '--set NAME=VALUE'",
        ),
        ("--set", "a value is required for '--set <NAME=VALUE>' but none was supplied"),
        ("--set lr=lots", "invalid value 'lots' for '--set lr': invalid float literal"),
        ("--set batch=", "invalid value '' for '--set batch': cannot parse integer from empty string"),
        ("--set augment=no", "invalid value 'no' for '--set augment': provided string was not `true` or `false`"),
        ("--set width=1 --set width=x", "invalid value 'x' for '--set width': invalid digit found in string"),
        (
            "--set workers=2",
            "'workers' in '--set workers=2' is an option of the command line, and no field of the config; give '--workers' \
             there",
        ),
        (
            "--lr 1 --set lr=2",
            "the argument '--set lr=2' cannot be used with '--lr <LR>': both set the field 'lr'; leave one of them out",
        ),
        (
            "--batch 1 --set batch_size=2",
            "the argument '--set batch_size=2' cannot be used with '--batch <BATCH_SIZE>': both set the field 'batch_size'; \
             leave one of them out",
        ),
        (
            "--width 1 --set width=2",
            "the argument '--set width=2' cannot be used with '--width <WIDTH>': both set the field 'width'; leave one of \
             them out",
        ),
        (
            "--set batch=1 --set batch_size=2",
            "the argument '--set batch_size=2' cannot be used with '--set batch': both set the field 'batch_size'; leave \
             one of them out",
        ),
    ] {
        assert_eq!(mistake(&format!("--epochs 1 {line}")), expected, "{line}");
    }
    let all = "(there is: 'epochs', 'batch_size', 'lr', 'shift', 'folder', 'mode', 'max_steps', 'width', 'beta', \
               'augment', 'shuffle', 'type')";
    for (name, near) in [
        ("max_stepss", "; did you mean 'max_steps'?"),
        ("max-step", "; did you mean 'max-steps'?"),
        ("batsh", "; did you mean 'batch'?"),
        ("momentum", ""),
    ] {
        let expected = format!("unexpected field '{name}' in '--set {name}=1'{near} {all}");
        assert_eq!(mistake(&format!("--epochs 1 --set {name}=1")), expected);
    }
}

#[test]
fn a_mistake_in_a_file_names_it_and_the_key() {
    let value = |reason: &str| format!("invalid value 'run.FORMAT' for '--config <FILE>': {reason}");
    for (toml, json, expected) in [
        ("lr = 'lots'", r#"{"lr": "lots"}"#, "invalid value 'lots' for 'lr' in 'run.FORMAT': invalid float literal".to_owned()),
        ("batch = 1.5", r#"{"batch": 1.5}"#, "invalid value '1.5' for 'batch' in 'run.FORMAT': invalid digit found in string".to_owned()),
        ("augment = 1", r#"{"augment": 1}"#, "invalid value '1' for 'augment' in 'run.FORMAT': provided string was not `true` or `false`".to_owned()),
        ("width = [1, 'x']", r#"{"width": [1, "x"]}"#, "invalid value 'x' for 'width' in 'run.FORMAT': invalid digit found in string".to_owned()),
        (
            "gpu = true",
            r#"{"gpu": true}"#,
            "'gpu' in 'run.FORMAT' is an option of the command line, and no field of the config; give '--gpu' there".to_owned(),
        ),
        (
            "max_failures = 1",
            r#"{"max_failures": 1}"#,
            "'max_failures' in 'run.FORMAT' is an option of the command line, and no field of the config; give '--max-failures' there".to_owned(),
        ),
        (
            "lrr = 1",
            r#"{"lrr": 1}"#,
            "unexpected field 'lrr' in 'run.FORMAT'; did you mean 'lr'? (there is: 'epochs', 'batch_size', 'lr', 'shift', 'folder', 'mode', 'max_steps', 'width', 'beta', 'augment', 'shuffle', 'type')".to_owned(),
        ),
        ("lr = [1]", r#"{"lr": [1]}"#, value("the key 'lr' is an array, and the field has one value; write that value alone")),
        ("width = 1", r#"{"width": 1}"#, value("the key 'width' is one value, '1', and the field has many; write an array of them")),
        ("batch = 1\nbatch_size = 1", r#"{"batch": 1, "batch_size": 1}"#, value("the keys 'batch' and 'batch_size' are one field; leave one of them out")),
        ("width = [[1]]", r#"{"width": [[1]]}"#, value("the key 'width' holds an array in an array; a field is a string, a number, `true`, `false`, or an array of these, in the file itself")),
    ] {
        for (format, content) in [("toml", toml), ("json", json)] {
            let file = File::new(&format!("run.{format}"), content);
            assert_eq!(file.mistake("--epochs 1"), expected.replace("FORMAT", format), "{content}");
        }
    }
    let value = |reason: &str| format!("invalid value 'run.x' for '--config <FILE>': {reason}");
    let holds = |what: &str| {
        value(&format!(
            "the key 'lr' holds {what}; a field is a string, a number, `true`, `false`, or an array of these, in the file itself"
        ))
    };
    for (format, content, expected) in [
        ("toml", "[lr]\nrate = 1", holds("a table")),
        ("toml", "lr.rate = 1", holds("a table")),
        ("toml", "[[lr]]\nrate = 1", holds("a table in an array")),
        ("json", r#"{"lr": {"rate": 1}}"#, holds("an object")),
        ("json", r#"{"lr": [{}]}"#, holds("an object in an array")),
        ("json", r#"{"lr": [null]}"#, holds("null in an array")),
        ("json", r#"{"lr": "\ud800"}"#, holds("a string that is not Unicode")),
        ("json", r#"{"lr": 1, "lr": 1}"#, value("the key 'lr' is there twice; leave one of them out")),
        ("json", r#"{"lr": null}"#, value("the key 'lr' is null, which only an `Option` can be; leave the key out")),
        (
            "json",
            r#"{"width": null}"#,
            value("the key 'width' is null, which only an `Option` can be; leave the key out"),
        ),
        (
            "json",
            "[1]",
            value(
                "the JSON cannot be read: invalid type: sequence, expected an object whose keys are fields at line 1 column 0",
            ),
        ),
        (
            "json",
            "{\n  \"lr\": 1,\n  \"epochs\" 2\n}",
            value("the JSON cannot be read: expected `:` at line 3 column 12"),
        ),
        ("json", "", value("the JSON cannot be read: EOF while parsing a value at line 1 column 0")),
        (
            "toml",
            "lr = 1\n\nepochs 2",
            value("the TOML cannot be read: key with no value, expected `=` at line 3 column 8"),
        ),
        ("toml", "lr = 1\nlr = 1", value("the TOML cannot be read: duplicate key at line 2 column 1")),
        ("yaml", "lr: 1", value("its name says no format; give a file whose name ends with '.json' or '.toml'")),
        ("json", "\u{feff}{}", value("the JSON cannot be read: expected value at line 1 column 1")),
    ] {
        let name = format!("run.{format}");
        assert_eq!(File::new(&name, content).mistake("--epochs 1"), expected.replace("run.x", &name), "{content}");
    }
    let file = File::new("run.toml", b"folder = '\xff'");
    assert_eq!(
        file.mistake("--epochs 1"),
        "invalid value 'run.toml' for '--config <FILE>': the file is not text in UTF-8; save it as such"
    );
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_read_is_named() {
    let file = File::new("run.toml", "");
    fs::remove_file(&file.path).unwrap();
    assert_eq!(
        file.mistake("--epochs 1"),
        "invalid value 'run.toml' for '--config <FILE>': there is no such file; check the path"
    );
    fs::create_dir(&file.path).unwrap();
    assert_eq!(
        file.mistake("--epochs 1"),
        "invalid value 'run.toml' for '--config <FILE>': the file cannot be read: Is a directory (os error 21)"
    );
    assert_eq!(
        mistake("--epochs 1 --config a.toml --config b.toml"),
        "the argument '--config <FILE>' cannot be used multiple times"
    );
}

/// Two fields that must be given, of which any source may give each.
#[derive(Config, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[config(crate = crate)]
struct Required {
    first: u8,
    #[config(long = "other")]
    second: u8,
}

#[test]
fn required_fields_come_from_anywhere() {
    let file = File::new("run.toml", "first = 1");
    let expected = Required { first: 1, second: 2 };
    assert_eq!(file.with::<Required>("--other 2").unwrap().config, expected);
    assert_eq!(file.with::<Required>("--set second=2").unwrap().config, expected);
    let line = ["x", "--first", "1", "--set", "other=2"];
    assert_eq!(Cli::<Required>::try_parse_from(line).unwrap().config, expected);
}

#[test]
fn a_required_field_that_is_nowhere_is_named_with_the_places() {
    let said = |error: CliError| error.to_string().split("\n\n").take(2).collect::<Vec<_>>().join("|");
    let file = File::new("run.toml", "");
    let path = file.path.display();
    assert_eq!(
        said(file.with::<Required>("").unwrap_err()),
        format!(
            "the following required fields were given neither by an option nor by '--set', nor in '{path}':\n  --first \
             <FIRST>\n  --other <SECOND>|Usage: digits [OPTIONS] --first <FIRST> --other <SECOND>"
        )
    );
    let line = ["digits", "--set", "first=1"];
    assert_eq!(
        said(Cli::<Required>::try_parse_from(line).unwrap_err()),
        "the following required fields were given neither by an option nor by '--set':\n  --other <SECOND>|Usage: digits \
         [OPTIONS] --first <FIRST> --other <SECOND>"
    );
    assert_eq!(
        said(Cli::<Required>::try_parse_from(["digits", "--first", "1"]).unwrap_err()),
        "the following required arguments were not provided:\n  --other <SECOND>|Usage: digits --first <FIRST> --other \
         <SECOND>"
    );
}

/// A field with the name of another's option: the field's own name counts first.
#[derive(Config, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[config(crate = crate)]
struct Crossed {
    #[config(default = 1, long = "size")]
    batch: u8,
    #[config(default = 2, long = "batch")]
    size: u8,
}

#[test]
fn a_fields_name_counts_before_an_options() {
    let parse =
        |line: &str| Cli::<Crossed>::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).unwrap().config;
    assert_eq!(parse("--batch 7"), Crossed { batch: 1, size: 7 });
    assert_eq!(parse("--set batch=7"), Crossed { batch: 7, size: 2 });
    assert_eq!(parse("--set batch=7 --batch 8"), Crossed { batch: 7, size: 8 });
}
