//! Main functions that compile.

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

#[trainloop::main]
fn main() -> trainloop::Result<()> {
    let _ = (nothing::main, code::main, other_error::main);
    Ok(())
}
