//! Secrets out of text: as they are, and in the forms in which they usually appear. Works on a stream, so that no border of
//! chunks hides one.
//!
//! All forms of all values are one automaton (Aho and Corasick, 1975). Every byte that any occurrence covers goes; each run
//! of such bytes becomes `***`.

mod forms;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use forms::forms;

/// What stands for a secret.
pub const MASK: &str = "***";

/// All that is looked for.
#[derive(Debug)]
pub struct Patterns {
    /// The root comes first.
    nodes: Vec<Node>,
    /// Bytes that some form begins with.
    begins: [bool; 256],
}

#[derive(Debug, Default)]
struct Node {
    next: BTreeMap<u8, usize>,
    /// The longest other beginning of a form that ends here.
    fallback: usize,
    /// How many bytes of a form were seen.
    depth: usize,
    /// Length of the longest form that ends here; zero: none does.
    ends: usize,
}

impl Patterns {
    /// Every form of these values. Shorter ones than [`super::secrets::SHORTEST_VALUE`] are left out.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let all: BTreeSet<Vec<u8>> = values.into_iter().flat_map(forms).collect();
        let mut patterns = Self { nodes: vec![Node::default()], begins: [false; 256] };
        for form in &all {
            patterns.add(form);
        }
        patterns.link();
        patterns
    }

    fn add(&mut self, form: &[u8]) {
        let mut at = 0;
        for (position, byte) in form.iter().enumerate() {
            let fresh = self.nodes.len();
            let next = *self.nodes[at].next.entry(*byte).or_insert(fresh);
            if next == fresh {
                self.nodes.push(Node { depth: position + 1, ..Node::default() });
            }
            at = next;
        }
        self.nodes[at].ends = form.len();
        if let Some(first) = form.first() {
            self.begins[usize::from(*first)] = true;
        }
    }

    /// Breadth first: what a node falls back to is nearer to the root, and done.
    fn link(&mut self) {
        let mut waiting: VecDeque<usize> = self.nodes[0].next.values().copied().collect();
        while let Some(at) = waiting.pop_front() {
            let children: Vec<(u8, usize)> =
                self.nodes[at].next.iter().map(|(byte, child)| (*byte, *child)).collect();
            for (byte, child) in children {
                let fallback = self.step(self.nodes[at].fallback, byte);
                self.nodes[child].fallback = fallback;
                self.nodes[child].ends = self.nodes[child].ends.max(self.nodes[fallback].ends);
                waiting.push_back(child);
            }
        }
    }

    fn step(&self, mut at: usize, byte: u8) -> usize {
        loop {
            if at == 0 && !self.begins[usize::from(byte)] {
                return 0;
            }
            match self.nodes[at].next.get(&byte) {
                Some(next) => return *next,
                None if at == 0 => return 0,
                None => at = self.nodes[at].fallback,
            }
        }
    }

    /// The whole text without what is looked for.
    pub fn redact<'a>(self: &Arc<Self>, text: &'a str) -> Cow<'a, str> {
        let mut at = 0;
        let found = text.bytes().any(|byte| {
            at = self.step(at, byte);
            self.nodes[at].ends > 0
        });
        if !found {
            return Cow::Borrowed(text);
        }
        let mut filter = Filter::new(self.clone());
        let mut bytes = filter.push(text.as_bytes());
        bytes.extend(filter.finish());
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// One stream. Holds back no more than what may be the beginning of a secret.
#[derive(Debug)]
pub struct Filter {
    patterns: Arc<Patterns>,
    at: usize,
    /// The last bytes, and whether each of them is part of a secret.
    held: VecDeque<(u8, bool)>,
    /// The last byte that was given was part of a secret.
    masking: bool,
}

impl Filter {
    pub const fn new(patterns: Arc<Patterns>) -> Self {
        Self { patterns, at: 0, held: VecDeque::new(), masking: false }
    }

    /// Takes a chunk; gives what is decided.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len());
        for byte in chunk {
            self.held.push_back((*byte, false));
            self.at = self.patterns.step(self.at, *byte);
            let node = &self.patterns.nodes[self.at];
            let (depth, ends) = (node.depth, node.ends);
            for (_, is_secret) in self.held.iter_mut().rev().take(ends) {
                *is_secret = true;
            }
            self.give(depth, &mut out);
        }
        out
    }

    /// The rest, when nothing more comes.
    pub fn finish(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.give(0, &mut out);
        out
    }

    fn give(&mut self, keep: usize, out: &mut Vec<u8>) {
        while self.held.len() > keep {
            let Some((byte, is_secret)) = self.held.pop_front() else { return };
            if !is_secret {
                out.push(byte);
            } else if !self.masking {
                out.extend_from_slice(MASK.as_bytes());
            }
            self.masking = is_secret;
        }
    }
}

#[cfg(test)]
mod tests;
