//! Any bytes as the header of a file of tensors.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trainloop_checkpoint::fuzzing::safetensors(bytes));
