#[trainloop::main]
fn begin() {}

fn main() {}
