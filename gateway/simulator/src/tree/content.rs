//! Generated file content: any byte of a 10 TiB disk from its offset alone.

use std::io;

use crate::seeded::mix;
use crate::tree::{Content, Recipe, RecipeKind};

/// A line of a generated log is always this long, line break included, so that an offset finds its line.
const LINE: u64 = 96;

/// Content that is computed when it is read.
pub(crate) struct Generated {
    recipe: Recipe,
}

impl Generated {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self { recipe }
    }
}

impl Content for Generated {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.recipe.length.saturating_sub(offset);
        let count = usize::try_from(available).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..count).unwrap_or_default();
        match self.recipe.kind {
            RecipeKind::Noise => noise(self.recipe.seed, offset, buffer),
            RecipeKind::Text => text(self.recipe.seed, offset, buffer),
        }
        Ok(count)
    }

    fn recipe(&self) -> Option<Recipe> {
        Some(self.recipe)
    }
}

fn noise(seed: u64, offset: u64, mut buffer: &mut [u8]) {
    let mut word = offset / 8;
    let mut skip = usize::try_from(offset % 8).unwrap_or_default();
    while !buffer.is_empty() {
        let bytes = mix(seed ^ word.wrapping_mul(0xa24b_aed4_963e_e407)).to_le_bytes();
        let part = bytes.get(skip..).unwrap_or_default();
        let count = part.len().min(buffer.len());
        let (head, tail) = buffer.split_at_mut(count);
        head.copy_from_slice(part.get(..count).unwrap_or_default());
        buffer = tail;
        word += 1;
        skip = 0;
    }
}

fn text(seed: u64, offset: u64, mut buffer: &mut [u8]) {
    let mut number = offset / LINE;
    let mut skip = usize::try_from(offset % LINE).unwrap_or_default();
    while !buffer.is_empty() {
        let line = line(seed, number);
        let part = line.as_bytes().get(skip..).unwrap_or_default();
        let count = part.len().min(buffer.len());
        let (head, tail) = buffer.split_at_mut(count);
        head.copy_from_slice(part.get(..count).unwrap_or_default());
        buffer = tail;
        number += 1;
        skip = 0;
    }
}

fn line(seed: u64, number: u64) -> String {
    const WORDS: [&str; 8] =
        ["session opened", "session closed", "GET /index", "POST /login", "cron ran", "link up", "disk ok", "retry"];
    let value = mix(seed ^ number);
    let word = WORDS.get((value % 8) as usize).copied().unwrap_or("retry");
    let text = format!("{number:012} host app[{:05}]: {word} id={:04x}", value >> 8 & 0xffff, value >> 24 & 0xffff);
    let width = usize::try_from(LINE - 1).unwrap_or_default();
    format!("{text:<width$.width$}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: RecipeKind, offset: u64, length: usize) -> Vec<u8> {
        let mut content = Generated::new(Recipe { kind, seed: 7, length: 10 << 40 });
        let mut buffer = vec![0; length];
        assert_eq!(content.read(offset, &mut buffer).unwrap(), length);
        buffer
    }

    #[test]
    fn any_part_of_generated_content_equals_the_same_part_of_the_whole() {
        for kind in [RecipeKind::Noise, RecipeKind::Text] {
            let whole = bytes(kind, 0, 4096);
            for (offset, length) in [(1, 1), (7, 100), (95, 98), (1000, 3096)] {
                assert_eq!(bytes(kind, offset as u64, length), whole[offset..offset + length]);
            }
            assert_eq!(bytes(kind, 9 << 40, 16), bytes(kind, 9 << 40, 16));
        }
    }

    #[test]
    fn reads_end_at_the_length() {
        let mut content = Generated::new(Recipe { kind: RecipeKind::Text, seed: 1, length: 100 });
        let mut buffer = [0; 64];
        assert_eq!(content.read(90, &mut buffer).unwrap(), 10);
        assert_eq!(content.read(100, &mut buffer).unwrap(), 0);
    }
}
