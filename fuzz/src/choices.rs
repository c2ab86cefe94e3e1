//! Choices taken from the start of a fuzz input, and places to cut the rest.

/// An input that choices consume from the start. After its end it yields zeros.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Returns choices from that input.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Returns the next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Returns a number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// Returns one of the values.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Returns some bytes; the input has their length first.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// Returns `true` if the input is consumed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the rest of the input.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Returns the places at which to cut `length` bytes, in order: none for seed 0, everywhere for 1,
/// otherwise derived from the seed.
pub fn cuts(length: usize, seed: u8) -> Vec<usize> {
    let mut state = u64::from(seed);
    let mut step = || match seed {
        0 => length,
        1 => 1,
        _ => {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            1 + usize::try_from(state >> 33).unwrap_or(0) % (2 + usize::from(seed) / 4)
        }
    };
    let mut at = 0;
    let mut cuts = Vec::new();
    loop {
        at += step().max(1);
        if at >= length {
            return cuts;
        }
        cuts.push(at);
    }
}

/// Returns the bytes in pieces, cut at those places.
pub fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([bytes.len()]);
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}
