mod promised {
    #[trainloop::main]
    pub unsafe fn main() {}
}

mod known {
    #[trainloop::main]
    pub const fn main() {
        println!("const");
    }
}

mod foreign {
    #[trainloop::main]
    pub extern "C" fn main() {}
}

fn main() {}
