//! Examples of trainloop: `cargo xtask run digits`.
