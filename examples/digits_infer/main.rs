//! Which digit is on an image: reads the best checkpoint of a run of the example `digits`, without its trainer.
//!
//!     cargo xtask run digits -- --name first
//!     cargo xtask run digits_infer -- runs/first four.png

#[path = "../digits/net.rs"]
mod net;

use std::path::{Path, PathBuf};

use clap::Parser;
use net::Net;
use serde_json::json;
use tch::{Kind, Tensor, vision};
use trainloop::prelude::*;
use trainloop::trainer::best_checkpoint;
use trainloop::weights::Weights;

/// Says which digit is on an image, by the best checkpoint of a run of `digits`.
#[derive(Parser)]
struct Options {
    /// Folder of the run, such as `runs/first`
    run: PathBuf,
    /// PNG, PGM or JPEG files: one digit each, white on black as in MNIST, of any size; what is not square is cut so
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The digits are black on white
    #[arg(long)]
    dark_on_light: bool,
    /// Print one JSON object for each image, and nothing else
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let checkpoint = best_checkpoint(&options.run)?;
    let side = side_of_images(&checkpoint)?;
    let model = checkpoint.load_model("model", Device::cuda_if_available(), |path| Net::new(path, [side, side]))?;
    for path in &options.images {
        let image = read_image(path, side, options.dark_on_light)?.to_device(model.device());
        let scores = tch::no_grad(|| model.call(|net| net.forward(&image)))?.softmax(-1, Kind::Float);
        let probabilities = Vec::<f32>::try_from(scores.view([-1]))?;
        let digit = scores.argmax(-1, false).int64_value(&[0]);
        if options.json {
            println!("{}", json!({ "image": path, "digit": digit, "probabilities": probabilities }));
        } else {
            println!("{}: {digit} ({:.1} %)", path.display(), probabilities[digit as usize] * 100.0);
        }
    }
    Ok(())
}

/// The net was trained on images of this many rows and columns: its hidden layer has 32 inputs for each block of 4×4 pixels.
fn side_of_images(checkpoint: &Checkpoint) -> Result<i64> {
    let layouts = Weights::of_checkpoint(checkpoint, "model")?.layouts();
    let inputs = layouts.get("hidden.weight").and_then(|(shape, _)| shape.get(1).copied()).unwrap_or_default();
    let blocks = ((inputs / 32) as f64).sqrt() as i64;
    if blocks == 0 || blocks * blocks * 32 != inputs {
        return Err(Error::other(format!(
            "{} is no checkpoint of `digits` on square images; give a run of that example",
            checkpoint.path().display()
        )));
    }
    Ok(blocks * 4)
}

/// An image `[1, 1, side, side]` in 0 to 1, white where ink is.
fn read_image(path: &Path, side: i64, is_dark_on_light: bool) -> Result<Tensor> {
    let load = || match vision::image::load(path)? {
        image if image.size()[1..] == [side, side] => Ok(image),
        image => vision::image::resize_preserve_aspect_ratio(&image, side, side),
    };
    let image = load().map_err(|error: tch::TchError| {
        Error::other(format!("{} cannot be read as an image: {error}", path.display()))
    })?;
    let gray = image.f_mean_dim([0_i64].as_slice(), true, Kind::Float)?.unsqueeze(0) / 255.0;
    Ok(if is_dark_on_light { 1.0 - gray } else { gray })
}
