//! A process that waits to become a worker: loaded and warm, and in no group.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use tch::{Device, Kind, Tensor};

use super::arrival::die_with_the_driver;
use crate::error::{Error, Result};
use crate::launch::Invitation;

/// How much the kernel wishes to end a process when memory is short: from -1000 to 1000.
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// An invitation is far shorter.
const MAX_INVITATION: u64 = 4096;

/// Gets ready, says so, and waits for the invitation on standard input; `None` where none is to come: the driver is gone, or
/// has no use for this process.
pub(super) fn wait(driver: i32) -> Result<Option<Invitation>> {
    // From here on the kernel ends this process with the driver, whatever it does.
    let _driver = die_with_the_driver(driver)?;
    let score = offer_to_the_kernel();
    warm();
    let Some(text) = hear_invitation().map_err(|error| Error::channel(format!("a spare cannot wait: {error}")))? else {
        return Ok(None);
    };
    if let Some(score) = score {
        let _ = fs::write(OOM_SCORE, score.trim());
    }
    // What any other worker has there.
    let null = File::open("/dev/null").map_err(Error::io("open", "/dev/null".as_ref()))?;
    rustix::stdio::dup2_stdin(null).map_err(|error| Error::channel(format!("cannot let go of the input: {error}")))?;
    Invitation::read(&text).map(Some)
}

fn hear_invitation() -> io::Result<Option<String>> {
    let mut driver = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // The invitation may have come already, and the driver have closed its end.
    let _ = driver.write_all(b"\n");
    let mut text = String::new();
    match BufReader::new(driver).take(MAX_INVITATION).read_line(&mut text) {
        Ok(_) => Ok(text.strip_suffix('\n').map(str::to_owned)),
        // What it was told last was not heard.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where memory is short, a spare is to go before a worker. Gives what was said before.
fn offer_to_the_kernel() -> Option<String> {
    let score = fs::read_to_string(OOM_SCORE).ok()?;
    fs::write(OOM_SCORE, "1000").ok()?;
    Some(score)
}

/// What libtorch sets up on first use: its allocator, its threads, the kernels for this processor, autograd. On the CPU
/// alone, and without a random number. What goes wrong here will go wrong, and be said, in the loop.
fn warm() {
    let step = || -> std::result::Result<(), tch::TchError> {
        let weight = Tensor::f_ones([256, 256], (Kind::Float, Device::Cpu))?.f_set_requires_grad(true)?;
        weight.f_matmul(&weight)?.f_relu()?.f_sum(Kind::Float)?.f_backward()
    };
    let _ = step();
}
