use trainloop::prelude::*;

struct Config;

#[train_loop]
fn train(_: &mut Context) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = TorchTrainer::<train>::new(Config);
}
