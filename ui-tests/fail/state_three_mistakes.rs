use trainloop::prelude::*;

#[derive(TrainState)]
#[state(version = -1)]
struct State {
    #[state(serde, with = module)]
    a: u64,
    #[state(alias = "a")]
    b: Vec<State>,
}

fn save(ctx: &mut Context, state: &State) -> Result<()> {
    ctx.report_with((), state)
}

fn main() {}
