//! Any bytes as a run's journal.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trainloop_checkpoint::fuzzing::journal(bytes));
