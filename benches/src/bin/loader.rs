//! Loading 28×28 images, each flipped and shifted at random, against PyTorch's `DataLoader` (`peers/loader.py`).
//!
//! Ours: two threads in the loop's process. PyTorch's: two worker processes, the transforms in torch operations, one thread
//! each. Both sides: 60,000 images of bytes in memory, shuffled, batches of 64 as float32 in 0 to 1 with int64 labels; an
//! epoch whose clock runs from its first batch to its last.

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use serde_json::{Value, json};
use tch::Tensor;
use trainloop::data::{Collate, Draw};
use trainloop::prelude::*;
use trainloop_benches::{Comparison, OURS, PEER, Peer, Times, ranks};

const CASE: &str = "images_28x28";
/// As in `peers/loader.py`.
const IMAGES: usize = 60_000;
const SIDE: usize = 28;
const BATCH: usize = 64;
const WORKERS: usize = 2;
/// Pixels by which an image is shifted, at most.
const SHIFT: u64 = 2;

/// Images flipped and shifted, in samples per second.
#[derive(Parser)]
struct Options {
    /// How often each side is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Be one round
    #[arg(long, hide = true)]
    once: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.once {
        println!("{}", serde_json::to_string(&measure()?).map_err(Error::other)?);
        return Ok(());
    }
    let binary = std::env::current_exe()?;
    let peer = Peer::new("loader.py");
    let sides = if peer.is_some() { &[OURS, PEER][..] } else { &[OURS] };
    let comparison = Comparison::run(&[CASE], sides, options.rounds, |side| {
        ranks(1, |_, _| {
            peer.as_ref().filter(|_| side != OURS).map_or_else(
                || {
                    let mut command = Command::new(&binary);
                    command.arg("--once");
                    command
                },
                Peer::command,
            )
        })
    })?;
    let rates = rates(&comparison.json()[CASE]);
    if options.json {
        println!("{}", json!({ CASE: rates }));
    } else {
        println!("{CASE}  {rates}");
    }
    Ok(())
}

/// Samples per second, and how many times PyTorch's ours are, from microseconds per sample.
fn rates(times: &Value) -> Value {
    let rate = |micros: &Value| micros.as_f64().map(|micros| (1e6 / micros).round());
    let inverse = |ratio: &Value| ratio.as_f64().map(|ratio| (100.0 / ratio).round() / 100.0);
    json!({
        "ours_samples_per_s": rate(&times["ours_us"]),
        "torch_samples_per_s": rate(&times["torch_us"]),
        "ratio": inverse(&times["ratio"]),
        "ratio_range": [inverse(&times["ratio_range"][1]), inverse(&times["ratio_range"][0])],
    })
}

/// Bytes, as an IDX file holds them.
#[derive(Clone)]
struct Images {
    pixels: Arc<[u8]>,
    labels: Arc<[i64]>,
}

/// An image in 0 to 1, a row after the other.
#[derive(Collate)]
struct Image {
    pixels: [f32; SIDE * SIDE],
    label: i64,
}

impl Images {
    fn random() -> Self {
        let pixels = Tensor::randint(256, [(IMAGES * SIDE * SIDE) as i64], (tch::Kind::Uint8, Device::Cpu));
        let labels = Tensor::randint(10, [IMAGES as i64], (tch::Kind::Int64, Device::Cpu));
        let mut bytes = vec![0; IMAGES * SIDE * SIDE];
        let length = bytes.len();
        pixels.copy_data(&mut bytes, length);
        Self { pixels: bytes.into(), labels: Vec::try_from(labels).unwrap_or_default().into() }
    }
}

impl Dataset for Images {
    type Sample = Image;
    type Batch = ImageBatch;

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn get(&self, index: usize) -> Result<Image> {
        self.draw(Draw { index, epoch: 0, place: index })
    }

    fn draw(&self, draw: Draw) -> Result<Image> {
        let chance = draw.seed(17);
        let (flip, shift_y, shift_x) =
            (chance & 1 == 1, (chance >> 8) % (2 * SHIFT + 1), (chance >> 32) % (2 * SHIFT + 1));
        let image = &self.pixels[draw.index * SIDE * SIDE..(draw.index + 1) * SIDE * SIDE];
        let mut pixels = [0.0; SIDE * SIDE];
        // A pixel comes from this many rows below and columns to the right, or is black.
        let (shift_y, shift_x) = (shift_y as isize - SHIFT as isize, shift_x as isize - SHIFT as isize);
        let inside = |shift: isize| (-shift).max(0) as usize..(SIDE as isize - shift.max(0)) as usize;
        for y in inside(shift_y) {
            let from = &image[y.wrapping_add_signed(shift_y) * SIDE..][..SIDE];
            let row = &mut pixels[y * SIDE..][..SIDE];
            let columns = inside(shift_x);
            let source = &from[columns.start.wrapping_add_signed(shift_x)..][..columns.len()];
            for (pixel, &byte) in row[columns].iter_mut().zip(source) {
                *pixel = f32::from(byte) / 255.0;
            }
            if flip {
                row.reverse();
            }
        }
        Ok(Image { pixels, label: self.labels[draw.index] })
    }

    fn collate(&self, samples: Vec<Image>) -> Result<ImageBatch> {
        let mut batch = Image::collate(samples)?;
        batch.pixels = batch.pixels.f_view([-1, 1, SIDE as i64, SIDE as i64])?;
        Ok(batch)
    }
}

fn measure() -> Result<Times> {
    tch::set_num_threads(1);
    let loader = DataLoader::builder(Images::random()).batch_size(BATCH).shuffle(17).workers(WORKERS).build()?;
    let mut epoch = loader.epoch(0)?;
    let first = epoch.next().transpose()?.map_or(0, |batch| batch.samples());
    let began = Instant::now();
    let mut samples = 0;
    for batch in epoch {
        let batch = batch?;
        samples += batch.samples();
        if batch.pixels.size()[1..] != [1, SIDE as i64, SIDE as i64] {
            return Err(Error::other("a batch of other images"));
        }
    }
    let micros = began.elapsed().as_secs_f64() * 1e6;
    if first + samples != IMAGES {
        return Err(Error::other(format!("{} samples came", first + samples)));
    }
    Ok(Times::from([(CASE.to_owned(), micros / samples as f64)]))
}
