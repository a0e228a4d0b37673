//! The example `digits_infer`: images read by the best checkpoint of a run of `digits`.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Ended, Running, Sandbox, example, workspace};
use serde_json::Value;
use tch::{Kind, Tensor, vision};
use trainloop::data::idx::{self, IdxArray};

/// 8×8 pixels.
const SIDE: usize = 8;

fn run(sandbox: &Sandbox, program: &Path, arguments: &[&str]) -> Ended {
    let mut command = sandbox.command(program);
    // More threads would only wait for those of other tests.
    command.args(arguments).env("OMP_NUM_THREADS", "1");
    Running::start(command).end()
}

fn test_set() -> (IdxArray, Vec<u8>) {
    let data = workspace().join("examples/digits/data");
    let read = |name: &str| idx::read(data.join(name)).unwrap();
    (read("t10k-images-idx3-ubyte"), read("t10k-labels-idx1-ubyte").data)
}

fn digits_of(ended: &Ended) -> Vec<u64> {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line["digit"].as_u64().unwrap()).collect()
}

/// A short training, then every image of the test set as a file: as many are read right as the run says of its best
/// checkpoint. Larger ones, in black on white, are read as the small ones are.
#[test]
fn a_run_is_read_back_and_classifies_images() {
    let (digits, digits_infer) = (example("digits"), example("digits_infer"));
    let sandbox = Sandbox::new();
    let arguments = ["--workers", "0", "--epochs", "2", "--batch-size", "16", "--name", "run", "--json"];
    let trained = run(&sandbox, &digits, &arguments);
    assert_eq!(trained.code, Some(0), "{trained:#?}");

    let (images, labels) = test_set();
    let path = |folder: &str, index: usize, suffix: &str| -> PathBuf {
        sandbox.path().join(folder).join(format!("{index:03}.{suffix}"))
    };
    for folder in ["small", "large"] {
        fs::create_dir(sandbox.path().join(folder)).unwrap();
    }
    let (mut small, mut large) = (vec!["runs/run".to_owned(), "--json".to_owned()], Vec::new());
    for (index, pixels) in images.data.chunks(SIDE * SIDE).enumerate() {
        let file = path("small", index, "pgm");
        fs::write(&file, [format!("P5 {SIDE} {SIDE} 255\n").as_bytes(), pixels].concat()).unwrap();
        small.push(file.display().to_string());
        if index < 60 {
            // Each pixel four times as wide and high.
            let image = Tensor::from_slice(pixels).view([1, SIDE as i64, SIDE as i64]);
            let dark = image.bitwise_not();
            let wide = dark.repeat_interleave_self_int(4, 1, None).repeat_interleave_self_int(4, 2, None);
            let file = path("large", index, "png");
            vision::image::save(&wide.to_kind(Kind::Uint8), &file).unwrap();
            large.push(file.display().to_string());
        }
    }
    let arguments: Vec<&str> = small.iter().map(String::as_str).collect();
    let found = digits_of(&run(&sandbox, &digits_infer, &arguments));
    assert_eq!(found.len(), labels.len());
    let right = found.iter().zip(&labels).filter(|(found, label)| **found == u64::from(**label)).count();
    let accuracy = trained.json()["best"]["metrics"]["val_accuracy"].as_f64().unwrap();
    assert_eq!(right, (accuracy * labels.len() as f64).round() as usize);
    assert!(accuracy > 0.7, "{accuracy}");

    large.extend(["runs/run", "--json", "--dark-on-light"].map(str::to_owned));
    large.rotate_right(3);
    let arguments: Vec<&str> = large.iter().map(String::as_str).collect();
    let scaled = digits_of(&run(&sandbox, &digits_infer, &arguments));
    let same = scaled.iter().zip(&found).filter(|(scaled, found)| scaled == found).count();
    assert!(scaled.len() == 60 && same >= 50, "{same} of {} are read as the small ones are", scaled.len());

    let words = run(&sandbox, &digits_infer, &["runs/run", &small[2]]).stdout;
    assert!(words.contains(&format!("000.pgm: {} (", found[0])), "{words}");

    // Mistakes.
    fs::write(sandbox.path().join("page.png"), "<html>404</html>").unwrap();
    fs::create_dir(sandbox.path().join("empty")).unwrap();
    for (arguments, words) in [
        (["runs/run", "page.png"], "page.png cannot be read as an image"),
        (["runs/run", "absent.png"], "absent.png cannot be read as an image"),
        (["empty", "page.png"], "empty is no run"),
    ] {
        let ended = run(&sandbox, &digits_infer, &arguments);
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert!(ended.stderr.contains(words) && !ended.stderr.contains("panicked"), "{ended:#?}");
    }
}
