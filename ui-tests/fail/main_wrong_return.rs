#[trainloop::main]
fn main() -> u8 {
    3
}

mod in_a_result {
    #[trainloop::main]
    pub fn main() -> Result<(), u8> {
        Ok(())
    }
}
