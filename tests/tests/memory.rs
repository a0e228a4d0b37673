//! What a checkpoint takes of memory beside the state.

mod common;

use common::{Running, Sandbox};

/// Of a state of 256 MiB: a second copy would take as much again.
const AT_MOST: i64 = 48;

#[test]
fn a_save_and_a_restore_make_no_second_copy_of_the_state() {
    let sandbox = Sandbox::new();
    let ended = Running::start(sandbox.command(env!("CARGO_BIN_EXE_memory"))).end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for what in ["saved", "restored"] {
        let line = ended.stdout.lines().find_map(|line| line.strip_prefix(what));
        let growth: i64 = line.and_then(|growth| growth.trim().parse().ok()).unwrap_or_else(|| panic!("{ended:#?}"));
        assert!(growth < AT_MOST, "{what} with {growth} MiB more");
    }
}
