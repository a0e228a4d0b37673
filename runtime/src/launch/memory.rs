//! How much memory there is, and how much of it a process has to itself.

use std::fs;
use std::path::Path;

/// How many bytes processes beside this one may still take: what the system has available, or less where a control group of
/// this process says so. `None` where the system does not say.
pub(super) fn available() -> Option<u64> {
    let system = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| left_to_group(Path::new("/sys/fs/cgroup"), line));
    Some(limits.fold(system, u64::min))
}

/// How many bytes of memory the process has that nobody shares with it, as the system would get them back.
pub(super) fn of_process(pid: u32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "RssAnon:")
}

/// The number after a name, as in `MemAvailable:   23921856 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the control group in a line of `/proc/self/cgroup`, and those around it, leave; `None` for one that says nothing of
/// memory.
fn left_to_group(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (mount, files) = match controllers {
        "" => (root.to_owned(), &VERSION_2),
        _ if controllers.split(',').any(|controller| controller == "memory") => (root.join("memory"), &VERSION_1),
        _ => return None,
    };
    // In a container the path may be the host's, and then the mount itself is the group.
    let around = Path::new(path.trim_start_matches('/')).ancestors();
    around.filter_map(|group| left(&mount.join(group), files)).min()
}

/// What one group leaves. Pages of files that nobody has looked at lately are given up first, so they are no loss.
fn left(group: &Path, files: &Files) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    // Without a limit it says `max`, or a number that no machine has.
    let limit: u64 = read(files.limit)?.trim().parse().ok()?;
    let used: u64 = read(files.used)?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let idle = stat.lines().find_map(|line| line.strip_prefix(files.idle)?.trim().parse::<u64>().ok()).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(idle)))
}

/// Where a version of control groups says what.
struct Files {
    limit: &'static str,
    used: &'static str,
    /// The line of `memory.stat`.
    idle: &'static str,
}

const VERSION_1: Files =
    Files { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", idle: "total_inactive_file " };
const VERSION_2: Files = Files { limit: "memory.max", used: "memory.current", idle: "inactive_file " };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_says_what_it_has() {
        let available = available().unwrap();
        let own = of_process(std::process::id()).unwrap();
        assert!(own > 100_000 && own < available, "{own} of {available}");
        assert_eq!(of_process(u32::MAX), None);
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |group: &str, files: [(&str, &str); 3]| {
            let folder = root.path().join(group);
            fs::create_dir_all(&folder).unwrap();
            for (name, text) in files {
                fs::write(folder.join(name), text).unwrap();
            }
        };
        let left = |line: &str| left_to_group(root.path(), line);
        assert_eq!(left("0::/a/b"), None);
        let stat = "file 900\nactive_file 800\ninactive_file 100\n";
        write("a", [("memory.max", "10000\n"), ("memory.current", "5000\n"), ("memory.stat", stat)]);
        write("a/b", [("memory.max", "max\n"), ("memory.current", "4000\n"), ("memory.stat", stat)]);
        assert_eq!(left("0::/a/b"), Some(5100));
        write("a/b", [("memory.max", "4500\n"), ("memory.current", "4000\n"), ("memory.stat", stat)]);
        assert_eq!(left("0::/a/b"), Some(600));
        assert_eq!((left("0::/a"), left("0::/elsewhere"), left("nonsense")), (Some(5100), None, None));

        let stat = "inactive_file 1\ntotal_inactive_file 20\n";
        let files = |limit| [("memory.limit_in_bytes", limit), ("memory.usage_in_bytes", "70"), ("memory.stat", stat)];
        write("memory", files("9223372036854771712"));
        write("memory/job", files("100"));
        assert_eq!((left("4:memory:/job"), left("5:cpu,memory:/job"), left("1:cpu:/job")), (Some(50), Some(50), None));
        assert_eq!(left("4:memory:/of/the/host"), Some(9_223_372_036_854_771_712 - 50));
    }
}
