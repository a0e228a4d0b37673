//! Hydra's proxy: the process that starts the ranks of one node. No variable tells one start of `mpiexec` from another.

/// The name of the proxy in `/proc`, where names are cut to 15 bytes; this one has 15.
const NAME: &str = "hydra_pmi_proxy";

/// The process above this one that is the proxy, with the time at which it started.
pub(super) fn of_this_process() -> Option<String> {
    let mut process = rustix::process::getppid()?.as_raw_nonzero().get();
    while process > 1 {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let stat = Stat::read(&stat)?;
        if stat.name == NAME {
            return Some(format!("{process}-{}", stat.started));
        }
        process = stat.parent;
    }
    None
}

/// Three fields of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat<'a> {
    name: &'a str,
    parent: i32,
    /// In ticks since the machine's start.
    started: &'a str,
}

impl<'a> Stat<'a> {
    fn read(text: &'a str) -> Option<Self> {
        // A name may hold anything, parentheses too; what follows it does not.
        let (_, from_name) = text.split_once('(')?;
        let (name, after) = from_name.rsplit_once(')')?;
        let mut fields = after.split_ascii_whitespace();
        // Numbers 4 and 22 of proc(5), where the name is number 2.
        let parent = fields.nth(1)?.parse().ok()?;
        Some(Self { name, parent, started: fields.nth(17)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let text = "42 (a) (b) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 8192 1";
        assert_eq!(Stat::read(text), Some(Stat { name: "a) (b", parent: 7, started: "987654" }));
        for text in ["", "42", "42 (a", "42 (a) S", "42 (a) S x", "42 (a) S 7 42"] {
            assert_eq!(Stat::read(text), None, "{text}");
        }
    }

    #[test]
    fn this_process_reads_as_the_system_says() {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap();
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert_eq!(Stat::read(&text).unwrap().parent, parent);
    }
}
