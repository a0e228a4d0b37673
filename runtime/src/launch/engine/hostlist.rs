//! Slurm's short forms: lists of nodes such as `node[01-03,7],login`, and of counts such as `2(x3),1`.

/// The first node of a list. A part in brackets is a list of numbers and of ranges of them, and stands for each in turn.
pub(super) fn first_host(list: &str) -> Option<String> {
    let mut host = String::new();
    let mut rest = list.trim();
    while let Some(next) = rest.chars().next().filter(|next| *next != ',') {
        rest = &rest[next.len_utf8()..];
        match next {
            '[' => {
                let (inside, after) = rest.split_once(']')?;
                let first = inside.split([',', '-']).next()?;
                // As it is written: the zeros in front belong to the name.
                host.push_str(Some(first).filter(|first| first.parse::<u64>().is_ok())?);
                rest = after;
            }
            ']' | ' ' => return None,
            letter => host.push(letter),
        }
    }
    Some(host).filter(|host| !host.is_empty())
}

/// How many tasks the node of this number has.
pub(super) fn tasks_of_node(counts: &str, node: usize) -> Option<usize> {
    let mut before = 0_usize;
    for part in counts.trim().split(',') {
        let (tasks, nodes) = match part.split_once("(x") {
            Some((tasks, times)) => (tasks, times.strip_suffix(')')?.parse().ok()?),
            None => (part, 1),
        };
        let tasks = tasks.parse().ok()?;
        before = before.checked_add(nodes)?;
        if node < before {
            return Some(tasks);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_node_of_a_list() {
        for (list, first) in [
            ("node1", "node1"),
            ("node[01-03,7]", "node01"),
            ("node[7,01-03]", "node7"),
            ("a,b[1-2]", "a"),
            ("rack[1-2]node[003-100],x", "rack1node003"),
            ("n[08].cluster.example", "n08.cluster.example"),
            ("gpu-a-[12-15]-ib,gpu-b-1", "gpu-a-12-ib"),
        ] {
            assert_eq!(first_host(list).as_deref(), Some(first), "{list}");
        }
        for list in ["", ",a", "node[01", "node]1", "node[]", "node[a-b]", "[,1]", "a b"] {
            assert_eq!(first_host(list), None, "{list}");
        }
    }

    #[test]
    fn the_tasks_of_a_node() {
        let counts = "2(x3),1,4(x2)";
        let all: Vec<_> = (0..7).map(|node| tasks_of_node(counts, node)).collect();
        assert_eq!(all, [Some(2), Some(2), Some(2), Some(1), Some(4), Some(4), None]);
        for counts in ["", "x", "2(x", "2(x3", "2(xa)", "2(3)", "2,,"] {
            assert_eq!(tasks_of_node(counts, 2), None, "{counts}");
        }
        assert_eq!(tasks_of_node("1(x18446744073709551615),1", 3), Some(1));
        assert_eq!(tasks_of_node("2,1(x18446744073709551615)", 3), None, "too many to count");
    }
}
