//! Nothing: see `pass/` for what compiles, and `fail/` for what does not, with the message.
