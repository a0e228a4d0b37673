//! Two nodes on one machine: network namespaces with a cable between them.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::common::kill;

/// Nodes 0 and 1, with the addresses [`address`](Self::address); gone when dropped.
pub(crate) struct Nodes {
    names: [String; 2],
}

impl Nodes {
    /// `None`, and a line that says why, where this machine does not allow them.
    pub(crate) fn lay() -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let nodes = Self { names: [0, 1].map(|node| format!("trainloop-{number}-{node}")) };
        match nodes.connect(&number) {
            Ok(()) => Some(nodes),
            Err(reason) => {
                println!("not tried: two nodes of network namespaces need root and iproute2 ({reason})");
                None
            }
        }
    }

    fn connect(&self, number: &str) -> Result<(), String> {
        let [one, other] = &self.names;
        // Names of interfaces have 15 bytes at most.
        let ends = [0, 1].map(|node| format!("t{number}-{node}"));
        for name in &self.names {
            ip(&["netns", "add", name])?;
        }
        ip(&["link", "add", &ends[0], "netns", one, "type", "veth", "peer", "name", &ends[1], "netns", other])?;
        for (node, (name, end)) in self.names.iter().zip(&ends).enumerate() {
            ip(&["-n", name, "addr", "add", &format!("{}/24", Self::address(node)), "dev", end])?;
            ip(&["-n", name, "link", "set", end, "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    /// For documentation alone, by RFC 5737, and so in nobody's way.
    pub(crate) fn address(node: usize) -> String {
        format!("198.51.100.{}", node + 1)
    }

    /// The arguments of `ip` that come before a command that is to run on that node.
    pub(crate) fn on(&self, node: usize) -> [&str; 3] {
        ["netns", "exec", &self.names[node]]
    }

    /// The node breaks down: all its processes are gone.
    pub(crate) fn lose(&self, node: usize) {
        for pid in ip(&["netns", "pids", &self.names[node]]).unwrap().lines() {
            kill(pid.parse().unwrap(), Signal::KILL);
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
