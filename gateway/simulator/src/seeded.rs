//! Cheap deterministic randomness: everything generated follows from a seed, nothing is stored.

/// One step of splitmix64: a well-mixed 64-bit value for any input.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of `text` under `seed`, stable for ever (client ids depend on it).
pub(crate) fn hash(seed: u64, text: &[u8]) -> u64 {
    let mut state = mix(seed);
    for byte in text {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(state)
}

/// A hash of a path, one component at a time, so that `["a","b"]` and `["ab"]` differ.
pub(crate) fn hash_path(seed: u64, components: &[String]) -> u64 {
    components.iter().fold(mix(seed), |state, component| hash(state, component.as_bytes()))
}

/// A sequence of values from one seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A value below `limit` (0 when `limit` is 0).
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.next() % limit }
    }

    /// True with the given probability.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        #[allow(clippy::cast_precision_loss)]
        let value = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        value < share
    }
}
