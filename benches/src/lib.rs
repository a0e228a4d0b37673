//! Measurements: one program for each, in `src/bin/`.
