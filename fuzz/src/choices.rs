//! Decisions drawn from the front of a fuzz input, and where to cut the rest.

/// An input that is used up from the front; all zeros behind its end.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Decisions from that input.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// One of some things.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A stretch of bytes, its length first.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// Whether all is used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Places to cut `length` bytes at, in order: none for 0, everywhere for 1,
/// else as the seed has it.
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

/// The bytes in pieces, cut at those places.
pub fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([bytes.len()]);
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}
