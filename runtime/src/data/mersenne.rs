//! libtorch's generator on the CPU, for numbers that it gives and tch has no function for.

/// The Mersenne Twister of Matsumoto and Nishimura (MT19937), seeded as their `init_genrand`: the numbers are those of
/// `torch.Generator().manual_seed(seed)`.
pub(super) struct Mersenne {
    state: [u32; WORDS],
    next: usize,
}

const WORDS: usize = 624;

impl Mersenne {
    /// libtorch takes the lower half of a seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = [seed as u32; WORDS];
        for word in 1..WORDS {
            let before = state[word - 1];
            state[word] = (before ^ (before >> 30)).wrapping_mul(1_812_433_253).wrapping_add(word as u32);
        }
        Self { state, next: WORDS }
    }

    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            for word in 0..WORDS {
                let joined = (self.state[word] & 0x8000_0000) | (self.state[(word + 1) % WORDS] & 0x7fff_ffff);
                let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[word] = self.state[(word + 397) % WORDS] ^ (joined >> 1) ^ twist;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// In 0 to 1, without 1: libtorch's `uniform_real_distribution<double>`, of 53 bits.
    pub(super) fn uniform(&mut self) -> f64 {
        let high = u64::from(self.word()) << 32;
        let bits = high | u64::from(self.word());
        (bits & ((1 << 53) - 1)) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The authors' own first numbers for this seed.
    #[test]
    fn the_words_are_those_of_mt19937() {
        let mut generator = Mersenne::new(5489);
        assert_eq!([(); 3].map(|()| generator.word()), [3_499_211_612, 581_869_302, 3_890_346_734]);
        let mut generator = Mersenne::new(5489);
        // The 10,000th, as the C++ standard has it.
        assert_eq!((0..10_000).map(|_| generator.word()).last(), Some(4_123_659_995));
    }
}
