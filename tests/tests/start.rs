//! How a worker comes to be, and who else may knock.

mod common;

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use common::{Running, Sandbox, await_that};
use serde::{Deserialize, Serialize};
use trainloop::prelude::*;
use trainloop_tests::scenario::Act;

/// A `main` without the attribute: `fit` says which line to write, nothing is started, and nothing is left.
#[test]
fn a_bare_main_is_refused() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_bare_main"));
    command.arg(sandbox.storage()).arg("2");
    let ended = Running::start(command).end();
    sandbox.assert_no_process();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert_eq!(ended.stdout, "the body of main runs\n");
    assert!(ended.stderr.contains("write `#[trainloop::main]` above `fn main`"), "{ended:#?}");
    assert!(!sandbox.storage().exists());
}

/// The same program as a worker of somebody's: its body runs, `fit` sees where it is, and starts no more.
#[test]
fn a_bare_main_in_a_worker_starts_no_more() {
    let sandbox = Sandbox::new();
    for workers in ["0", "2"] {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_bare_main"));
        command.arg(sandbox.storage()).arg(workers).env("TRAINLOOP_WORKER", "0:1:trainloop-x:token");
        let ended = Running::start(command).end();
        sandbox.assert_no_process();
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert!(ended.stderr.contains("`fit` was called in a worker process"), "{ended:#?}");
        assert!(!sandbox.storage().exists());
    }
}

/// Without workers the attribute is not needed: here, in a test function, there is no `main` to annotate.
#[test]
fn no_workers_need_no_attribute() {
    #[train_loop]
    fn double(ctx: &mut Context<()>, number: u64) -> Result<u64> {
        assert_eq!((ctx.rank(), ctx.world_size()), (0, 1));
        ctx.report(())?;
        Ok(2 * number)
    }
    let sandbox = Sandbox::new();
    let fit = |name: &str, workers| {
        let run = RunConfig::named(name).storage(sandbox.storage()).progress(false);
        TorchTrainer::<double>::new(21).scaling(ScalingConfig::workers(workers)).run(run).fit()
    };
    let outcome = fit("first", 0).unwrap();
    assert_eq!((outcome.output, outcome.reports), (42, 1));
    let error = fit("second", 1).map(|outcome| outcome.output).unwrap_err().to_string();
    assert!(error.contains("`ScalingConfig::workers(0)`"), "{error}");
    assert!(!sandbox.storage().join("second").exists());
}

/// An invitation that no driver wrote: the worker says so at once, and does not run the body of `main`.
#[test]
fn a_worker_started_by_hand_is_refused() {
    let sandbox = Sandbox::new();
    let cases = [
        ("1", "the environment variable TRAINLOOP_WORKER is set by trainloop alone; unset it"),
        ("0:1:trainloop-x:token:more", "unset it"),
        // A driver that never was, and one that is not the parent.
        ("0:999999999:trainloop-x:token", "the driver has ended"),
        ("0:1:trainloop-x:token", "the driver has ended"),
        ("0:-1:trainloop-x:token", "the driver has ended"),
    ];
    for (invitation, words) in cases {
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_scenario"));
        command.env("TRAINLOOP_WORKER", invitation);
        let ended = Running::start(command).end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:#?}");
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(words), "{ended:#?}");
    }
    // The right parent, and no socket.
    let mut command = sandbox.command(env!("CARGO_BIN_EXE_scenario"));
    command.env("TRAINLOOP_WORKER", format!("0:{}:trainloop-nowhere:token", std::process::id()));
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("cannot reach the driver"), "{ended:#?}");
}

/// The driver's socket, from the list that every user of the machine can read.
fn connect_to(driver: i32) -> UnixStream {
    let prefix = format!("@trainloop-{driver}-");
    let mut name = None;
    await_that("the driver listens", || {
        let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
        name = sockets.split_whitespace().find_map(|word| word.starts_with(&prefix).then(|| word[1..].to_owned()));
        name.is_some()
    });
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name.unwrap()).unwrap()).unwrap()
}

fn frame(message: &impl Serialize) -> Vec<u8> {
    let body = rmp_serde::to_vec_named(message).unwrap();
    [&(body.len() as u32).to_le_bytes(), body.as_slice()].concat()
}

/// A worker's first frame.
#[derive(Serialize)]
struct Greeting {
    rank: usize,
    nonce: [u8; 32],
}

#[derive(Deserialize)]
struct Challenge {
    nonce: [u8; 32],
    proof: [u8; 32],
}

#[derive(Serialize)]
struct Response {
    proof: [u8; 32],
}

fn greeting(rank: usize) -> Vec<u8> {
    frame(&Greeting { rank, nonce: [7; 32] })
}

/// Plays a worker as far as a token takes it: whether the driver knows that token itself, and whether it gives this
/// connection a worker's seat.
fn introduce(mut connection: &UnixStream, token: &str, rank: usize) -> (bool, bool) {
    connection.set_read_timeout(Some(common::DEADLINE)).unwrap();
    connection.write_all(&greeting(rank)).unwrap();
    let mut length = [0; 4];
    connection.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    connection.read_exact(&mut body).unwrap();
    let challenge: Challenge = rmp_serde::from_slice(&body).unwrap();
    let proof = |side: &[u8]| {
        let key =
            blake3::derive_key("trainloop 2026-11 the channel between a driver and its workers", token.as_bytes());
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(side).update(&(rank as u64).to_le_bytes()).update(&[7; 32]).update(&challenge.nonce);
        *hasher.finalize().as_bytes()
    };
    connection.write_all(&frame(&Response { proof: proof(b"worker") })).unwrap();
    (proof(b"driver") == challenge.proof, is_seated(connection))
}

/// Whether the driver sends this connection another frame; otherwise it hangs up.
fn is_seated(mut connection: &UnixStream) -> bool {
    connection.set_read_timeout(Some(common::DEADLINE)).unwrap();
    matches!(connection.read(&mut [0; 4]), Ok(4))
}

/// Strangers that send rubbish, introduce themselves with a wrong token, stop in the middle, or say nothing at all: those that have
/// said something wrong are hung up on, and the run goes on as if nobody had come.
#[test]
fn strangers_at_the_socket_harm_nothing() {
    let sandbox = Sandbox::new();
    let ranks = [vec![Act::Report(2), Act::Barrier], vec![Act::Report(2), Act::Barrier]];
    let running = sandbox.scenario("run", &ranks);
    let silent = connect_to(running.pid());
    let mut half = connect_to(running.pid());
    half.write_all(&greeting(0)[..20]).unwrap();
    drop(connect_to(running.pid()));
    let wrong = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x05\0\0\0hello".to_vec(),
        // Far too long for an introduction, and with a length that claims still more.
        [&(1_u32 << 25).to_le_bytes(), vec![0; 1 << 16].as_slice()].concat(),
    ];
    for bytes in wrong {
        let mut connection = connect_to(running.pid());
        // The driver may hang up before it has all.
        let _ = connection.write_all(&bytes);
        assert!(!is_seated(&connection), "{:?} was taken for a worker's", &bytes[..bytes.len().min(20)]);
    }
    for (token, rank) in [("0".repeat(64), 0), ("0".repeat(64), 1), (String::new(), 0), ("0".repeat(64), usize::MAX)] {
        let connection = connect_to(running.pid());
        assert_eq!(introduce(&connection, &token, rank), (false, false), "{token:?} opened the door");
    }
    let ended = running.end();
    drop((silent, half));
    sandbox.assert_no_process();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.json()["reports"], 2);
}

/// The test above would pass too if the driver understood no introduction of ours; with the token of a worker's invitation it does.
#[test]
fn the_token_is_what_counts() {
    let sandbox = Sandbox::new();
    let running = sandbox.scenario("run", &[vec![Act::Sleep], vec![Act::Sleep]]);
    let mut token = None;
    await_that("a worker is started", || {
        token = sandbox.invitation(1).and_then(|invitation| invitation.rsplit(':').next().map(str::to_owned));
        token.is_some()
    });
    let connection = connect_to(running.pid());
    assert_eq!(introduce(&connection, &token.unwrap(), 1), (true, true), "the token did not open the door");
    drop(connection);

    let ended = running.end();
    sandbox.assert_no_process();
    assert_eq!(ended.json()["rank"], 1, "the worker whose seat was taken: {ended:#?}");
}
