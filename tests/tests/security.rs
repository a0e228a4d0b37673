//! What a group shows of itself to the rest of the machine: no port but on loopback, no socket that a file leads to, the token
//! nowhere but in the environment of its workers; and strangers at the socket, who change nothing.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

use common::{DEADLINE, Running, Sandbox, await_that, kill};
use rustix::process::Signal;
use trainloop_tests::scenario::Act;

/// Two ranks that have met, and then wait for the file that [`let_go`] makes.
fn waiting() -> [Vec<Act>; 2] {
    let acts = vec![Act::Report(1), Act::Barrier, Act::Print("here".into()), Act::AwaitReady(1), Act::Barrier];
    [acts.clone(), acts]
}

fn start_waiting(sandbox: &Sandbox) -> Running {
    let mut running = sandbox.scenario("run", &waiting());
    running.await_lines(&["[rank 0] here", "[rank 1] here"]);
    running
}

fn let_go(sandbox: &Sandbox) {
    fs::write(sandbox.storage().join("run/ready-to-go"), "").unwrap();
}

#[track_caller]
fn assert_ends_well(running: Running, sandbox: &Sandbox) {
    let ended = running.end();
    sandbox.assert_no_process();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.json()["reports"], 1);
}

/// The inodes of a process's sockets.
fn sockets(pid: i32) -> BTreeSet<u64> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

/// An address as `/proc/net` has it: words of four bytes, each in the machine's order, and the port.
fn address(text: &str) -> (IpAddr, u16) {
    let (address, port) = text.split_once(':').unwrap();
    let bytes: Vec<u8> = address
        .as_bytes()
        .chunks(8)
        .flat_map(|word| u32::from_str_radix(str::from_utf8(word).unwrap(), 16).unwrap().to_ne_bytes())
        .collect();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::V4(Ipv4Addr::from(bytes)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap())).to_canonical(),
    };
    (ip, u16::from_str_radix(port, 16).unwrap())
}

/// Where a process can be reached by the network: TCP sockets that listen, and UDP sockets whatever they do.
fn reached_at(pid: i32) -> Vec<(&'static str, IpAddr, u16)> {
    const LISTENS: &str = "0A";
    let own = sockets(pid);
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        // A machine without IPv6 has no such file.
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let is_reached = fields[3] == LISTENS || !table.starts_with("tcp");
            if is_reached && own.contains(&fields[9].parse().unwrap()) {
                let (ip, port) = address(fields[1]);
                found.push((table, ip, port));
            }
        }
    }
    found
}

/// The names of the Unix sockets on which a process listens.
fn unix_listeners(pid: i32) -> Vec<String> {
    const ACCEPTS: &str = "00010000";
    let own = sockets(pid);
    let text = fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap();
    let fields = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listens = fields.filter(|fields| fields[3] == ACCEPTS && own.contains(&fields[6].parse().unwrap()));
    listens.map(|fields| fields.get(7).copied().unwrap_or_default().to_owned()).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(here).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found
}

/// Gloo's ports are on loopback, the channel has no port and no file, and only the driver has one.
#[test]
fn a_local_group_listens_on_loopback_alone() {
    let sandbox = Sandbox::new();
    let running = start_waiting(&sandbox);
    let processes = sandbox.processes();
    assert_eq!(processes.len(), 3);
    let mut ports = 0;
    for pid in processes {
        for (table, ip, port) in reached_at(pid) {
            assert!(ip.is_loopback(), "process {pid} can be reached at {ip}:{port} ({table})");
            ports += 1;
        }
        let listeners = unix_listeners(pid);
        if pid == running.pid() {
            let private = format!("@trainloop-{pid}-");
            assert!(listeners.len() == 1 && listeners[0].starts_with(&private), "{listeners:?}");
        } else {
            assert!(listeners.is_empty(), "worker {pid} listens on {listeners:?}");
        }
    }
    // Gloo's own, one for each rank: without them the test would have looked at nothing.
    assert!(ports >= 2, "{ports} ports");
    let is_socket = |path: &PathBuf| path.symlink_metadata().unwrap().file_type().is_socket();
    let in_files: Vec<_> = files_below(sandbox.path()).into_iter().filter(is_socket).collect();
    assert!(in_files.is_empty(), "{in_files:?}");
    let_go(&sandbox);
    assert_ends_well(running, &sandbox);
}

fn holds(bytes: &[u8], token: &str) -> bool {
    bytes.windows(token.len()).any(|window| window == token.as_bytes())
}

#[track_caller]
fn assert_lacks(what: &str, bytes: &[u8], token: &str) {
    assert!(!holds(bytes, token), "{what} holds the token");
}

/// In no list of processes, no log, no record, no message: not while the group runs, and not in what is said of its failure.
#[test]
fn the_token_is_in_the_workers_environment_alone() {
    let sandbox = Sandbox::new();
    let running = start_waiting(&sandbox);
    let token = sandbox.invitation(1).unwrap().rsplit(':').next().unwrap().to_owned();
    assert_eq!(token.len(), 64, "{token}");
    let processes = sandbox.processes();
    assert_eq!(processes.len(), 3);
    for &pid in &processes {
        assert_lacks("a command line", &fs::read(format!("/proc/{pid}/cmdline")).unwrap(), &token);
    }
    let environment = |pid: i32| fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(holds(&environment(sandbox.pid_of_rank(0)), &token), "where the token is, it is found");
    assert_lacks("the driver's environment", &environment(running.pid()), &token);
    let name = fs::read(format!("/proc/{}/net/unix", running.pid())).unwrap();
    assert_lacks("the list of sockets", &name, &token);
    let look_at_files = || {
        let files = files_below(sandbox.path());
        for path in &files {
            assert_lacks(&path.display().to_string(), &fs::read(path).unwrap(), &token);
        }
        files
    };
    look_at_files();

    kill(sandbox.pid_of_rank(1), Signal::KILL);
    let ended = running.end();
    sandbox.assert_no_process();
    assert_eq!(ended.json()["rank"], 1, "{ended:#?}");
    let files = look_at_files();
    for name in ["run.json", "logs/rank-0.log", "logs/rank-1.log", "states.jsonl", "reports.jsonl"] {
        assert!(files.contains(&sandbox.storage().join("run").join(name)), "no {name} among {files:?}");
    }
    assert_lacks("the driver's standard output", ended.stdout.as_bytes(), &token);
    assert_lacks("the driver's standard error", ended.stderr.as_bytes(), &token);
}

/// The driver's socket, from the list that every user of the machine can read.
fn socket_of(driver: i32) -> SocketAddr {
    let prefix = format!("@trainloop-{driver}-");
    let mut name = None;
    await_that("the driver listens", || {
        let sockets = fs::read_to_string("/proc/net/unix").unwrap();
        name = sockets.split_whitespace().find_map(|word| word.starts_with(&prefix).then(|| word[1..].to_owned()));
        name.is_some()
    });
    SocketAddr::from_abstract_name(name.unwrap()).unwrap()
}

/// A stranger that the driver shows out: reads until the connection is closed, or fails.
fn assert_shown_out(what: &str, mut connection: &UnixStream) {
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = connection.read_to_end(&mut answer) {
        let kind = error.kind();
        assert!(kind == std::io::ErrorKind::ConnectionReset, "{what} was not shown out: {error}");
    }
}

/// What is no worker's first word, whatever follows.
fn rubbish() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a browser", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("a short frame", b"\x05\0\0\0hello".to_vec()),
        ("an empty frame", vec![0; 4]),
        ("a frame of 4 GiB", vec![0xff; 64]),
        ("a frame of 32 MiB", [&(1_u32 << 25).to_le_bytes(), [0xc1; 1 << 16].as_slice()].concat()),
        ("a list in a list in a list", [&4000_u32.to_le_bytes(), [0x91; 4000].as_slice()].concat()),
    ]
}

/// Strangers of all kinds, before the workers have joined and while they work: those that say something wrong are shown out,
/// those that say nothing wait, and the run is what it would have been.
#[test]
fn strangers_neither_keep_a_group_from_forming_nor_end_it() {
    let sandbox = Sandbox::new();
    let mut running = sandbox.scenario("run", &waiting());
    let address = socket_of(running.pid());
    let connect = || UnixStream::connect_addr(&address).unwrap();
    let mut silent: Vec<_> = (0..200).map(|_| connect()).collect();
    let visit = |silent: &mut Vec<UnixStream>| {
        for (what, bytes) in rubbish() {
            let mut connection = connect();
            // The driver may hang up before it has all.
            let _ = connection.write_all(&bytes);
            assert_shown_out(what, &connection);
        }
        // A frame that never ends: whoever sends it is cut off.
        let endless = connect();
        endless.set_write_timeout(Some(DEADLINE)).unwrap();
        (&endless).write_all(&(1_u32 << 25).to_le_bytes()).unwrap();
        while (&endless).write_all(&[0xc1; 4096]).is_ok() {}
        assert_shown_out("an endless frame", &endless);
        // One byte of a frame, and no more; and one that is gone at once.
        let half = connect();
        (&half).write_all(&[40]).unwrap();
        silent.push(half);
        drop(connect());
    };
    visit(&mut silent);
    running.await_lines(&["[rank 0] here", "[rank 1] here"]);
    silent.extend((0..200).map(|_| connect()));
    visit(&mut silent);
    let_go(&sandbox);
    assert_ends_well(running, &sandbox);
    drop(silent);
}

/// What a process has reserved at most, in kB.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// A length that was only claimed costs nothing: 100 claims of 4 GiB and as many of 63 MiB, all open at once.
#[test]
fn a_claimed_length_reserves_no_memory() {
    let sandbox = Sandbox::new();
    let running = start_waiting(&sandbox);
    let address = socket_of(running.pid());
    let before = peak(running.pid());
    let claim = |length: u32| {
        let connection = UnixStream::connect_addr(&address).unwrap();
        // With a little of it; the driver may have hung up.
        let _ = (&connection).write_all(&[&length.to_le_bytes(), [0xc6; 100].as_slice()].concat());
        connection
    };
    let connections: Vec<_> = [u32::MAX, 63 << 20].into_iter().cycle().take(200).map(claim).collect();
    // Once the last has been heard, all have.
    let mut last = UnixStream::connect_addr(&address).unwrap();
    last.write_all(&[0xff; 64]).unwrap();
    assert_shown_out("a frame of 4 GiB", &last);
    let after = peak(running.pid());
    assert!(after < before + 63 * 1024, "{before} kB before, {after} kB after");
    let_go(&sandbox);
    assert_ends_well(running, &sandbox);
    drop(connections);
}
