#[trainloop::main(workers = two)]
fn main() -> trainloop::Result<()> {
    Ok(())
}
