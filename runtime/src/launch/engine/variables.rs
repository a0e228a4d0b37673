//! An engine's variables, read so that each error names the one it is about.

use std::str::FromStr;

use super::{Engine, Placement, PlacementError};

/// The environment, as one engine has set it.
pub(super) struct Variables<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    engine: Engine,
}

/// A count, with the variable that it came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) name: &'static str,
    pub(super) value: usize,
}

impl<'a> Variables<'a> {
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>, engine: Engine) -> Self {
        Self { env, engine }
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    pub(super) fn need(&self, variable: &'static str) -> Result<String, PlacementError> {
        self.text(variable).ok_or(PlacementError::Missing { engine: self.engine, variable })
    }

    /// The second of two variables that say the same, where it alone is set.
    pub(super) fn either(&self, first: &'static str, second: &'static str) -> &'static str {
        if self.text(first).is_none() && self.text(second).is_some() { second } else { first }
    }

    pub(super) fn number(&self, name: &'static str) -> Result<Number, PlacementError> {
        let value = self.read(name, "a number")?;
        let value = value.ok_or(PlacementError::Missing { engine: self.engine, variable: name })?;
        Ok(Number { name, value })
    }

    /// How often the job was started again; a variable that is not set says never.
    pub(super) fn restarts(&self, name: &'static str) -> Result<u32, PlacementError> {
        Ok(self.read(name, "a number")?.unwrap_or(0))
    }

    fn read<T: FromStr>(&self, variable: &'static str, expected: &'static str) -> Result<Option<T>, PlacementError> {
        let Some(value) = self.text(variable) else { return Ok(None) };
        match value.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.unreadable(variable, value, expected)),
        }
    }

    pub(super) fn unreadable(&self, variable: &'static str, value: String, expected: &'static str) -> PlacementError {
        PlacementError::Unreadable { engine: self.engine, variable, value, expected }
    }

    fn port(&self, variable: &'static str) -> Result<Option<u16>, PlacementError> {
        let expected = "a port from 1 to 65535";
        match self.read(variable, expected)? {
            Some(0) => Err(self.unreadable(variable, "0".to_owned(), expected)),
            port => Ok(port),
        }
    }

    /// The port that rank 0 may listen on where the engine leaves `MASTER_PORT` to it, if one is named.
    pub(super) fn own_port(&self) -> Result<Option<u16>, PlacementError> {
        Ok(self.port(Placement::PORT)?.or(self.port("MASTER_PORT")?))
    }

    /// The port that rank 0 may listen on where `MASTER_PORT` is taken by the engine itself.
    pub(super) fn port_beside_master(&self) -> Result<u16, PlacementError> {
        if let Some(port) = self.port(Placement::PORT)? {
            return Ok(port);
        }
        let variable = "MASTER_PORT";
        let taken = self.port(variable)?.ok_or(PlacementError::Missing { engine: self.engine, variable })?;
        Ok(if taken == u16::MAX { taken - 1 } else { taken + 1 })
    }

    /// Where rank 0 is, if that is said in so many words.
    pub(super) fn host(&self) -> Option<String> {
        self.text(Placement::HOST).or_else(|| self.text("MASTER_ADDR"))
    }

    /// The same, from an engine that always says it.
    pub(super) fn need_host(&self) -> Result<String, PlacementError> {
        self.host().ok_or(PlacementError::Missing { engine: self.engine, variable: "MASTER_ADDR" })
    }
}

impl Number {
    pub(super) fn below(&self, limit: &Self, engine: Engine) -> Result<(), PlacementError> {
        self.compare(self.value < limit.value, limit, engine, "the first has to be below the second")
    }

    pub(super) fn at_most(&self, limit: &Self, engine: Engine) -> Result<(), PlacementError> {
        self.compare(self.value <= limit.value, limit, engine, "the first cannot be above the second")
    }

    fn compare(&self, holds: bool, other: &Self, engine: Engine, rule: &'static str) -> Result<(), PlacementError> {
        if holds {
            return Ok(());
        }
        Err(PlacementError::Contradiction {
            engine,
            left: self.name,
            left_value: self.value,
            right: other.name,
            right_value: other.value,
            rule,
        })
    }
}
