//! An input read as decisions.

/// The bytes of an input, taken one after the other. Once they are used up there come zeros, so that
/// every input is a whole story, and zero is the plainest decision everywhere.
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether there are no decisions left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of `0..count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// One of `0..count`, where that may be more than a byte tells apart.
    pub(super) fn position(&mut self, count: usize) -> usize {
        let [high, low] = [self.byte(), self.byte()].map(usize::from);
        (high << 8 | low) % count.max(1)
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// The next bytes as they are, fewer than `limit`.
    pub(super) fn bytes(&mut self, limit: usize) -> &'a [u8] {
        let length = self.below(limit).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// A text of fewer than `limit` characters of an alphabet.
    pub(super) fn text(&mut self, alphabet: &[char], limit: usize) -> String {
        let length = self.below(limit);
        (0..length).map(|_| self.one_of(alphabet)).collect()
    }
}
