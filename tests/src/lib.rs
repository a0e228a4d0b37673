//! Tests of trainloop with real worker processes: the programs under test are in `src/bin/`, the tests in `tests/`.

pub mod scenario;
