//! Main functions that compile.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)] // as users write, not as this project does

mod nothing {
    #[trainloop::main]
    pub fn main() {}
}

mod code {
    use std::process::ExitCode;

    #[trainloop::main]
    pub fn main() -> ExitCode {
        ExitCode::from(3)
    }
}

mod other_error {
    #[trainloop::main]
    pub fn main() -> anyhow::Result<()> {
        anyhow::bail!("no")
    }
}

mod command_line {
    use serde::{Deserialize, Serialize};
    use trainloop::prelude::*;

    #[derive(Config, Serialize, Deserialize, Clone)]
    pub struct Options {
        epochs: u64,
    }

    #[trainloop::main]
    pub fn main(cli: Cli<Options>) -> Result<()> {
        assert!(cli.run.name.is_none() || cli.config.epochs > 0);
        Ok(())
    }

    pub mod changed {
        #[trainloop::main(crate = ::trainloop)]
        pub fn main(mut cli: trainloop::cli::Cli<super::Options>) {
            cli.config.epochs += 1;
        }
    }

    pub mod by_another_name {
        type Line = trainloop::cli::Cli<super::Options>;

        #[trainloop::main]
        pub fn main(_: Line) -> std::process::ExitCode {
            std::process::ExitCode::SUCCESS
        }
    }
}

/// Names of the standard library mean what they mean elsewhere, whatever the user calls his own.
mod other_names {
    #![allow(non_camel_case_types, dead_code)]

    use trainloop::cli::Cli;

    use super::command_line::Options;

    struct Result;
    struct Option;
    struct ExitCode;
    mod std {}
    mod core {}

    #[trainloop::main]
    pub fn main(cli: Cli<Options>) {
        let _ = cli;
    }
}

/// The words of a `main` may come from a macro, and some of them from who calls it.
macro_rules! main_of {
    ($parameter:ident, $config:ty) => {
        #[trainloop::main]
        pub fn main($parameter: trainloop::cli::Cli<$config>) -> trainloop::Result<()> {
            let _ = $parameter.config;
            Ok(())
        }
    };
}

mod by_macro {
    main_of!(cli, super::command_line::Options);
}

#[trainloop::main]
fn main() -> trainloop::Result<()> {
    let _ = (nothing::main, code::main, other_error::main);
    let _ = (command_line::main, command_line::changed::main, command_line::by_another_name::main);
    let _ = (other_names::main, by_macro::main);
    Ok(())
}
