use trainloop::prelude::*;

struct Config;

#[train_loop]
fn train() -> Result<()> {
    Ok(())
}

fn main() {
    let _ = LightningTrainer::<train>::new(());
    let _ = TransformersTrainer::<train>::new("facebook/opt-125m");
    let _: AccelerateTrainer = AccelerateTrainer::new(Config);
}
