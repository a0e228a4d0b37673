//! Any bytes as the pickle of a PyTorch file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trainloop_checkpoint::fuzzing::state_dict(bytes));
