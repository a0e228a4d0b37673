//! What programs under test and the tests themselves share.

pub mod chaos;
pub mod data;
pub mod fault;
pub mod scenario;
pub mod script;
