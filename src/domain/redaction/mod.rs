//! Secrets out of text: as they are, and in the forms in which they usually appear. Works on a stream, so that no border of
//! chunks hides one.
//!
//! All forms of all values are one automaton (Aho and Corasick, 1975). Every byte that any occurrence covers goes; each run
//! of such bytes becomes `***`.

mod forms;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

pub use forms::forms;

/// What stands for a secret.
pub const MASK: &str = "***";

/// All that is looked for.
#[derive(Debug)]
pub struct Patterns {
    /// The root comes first. A long secret has many nodes, so that each is small.
    nodes: Vec<Node>,
    /// First byte → the root's child; zero: none.
    begins: [usize; 256],
}

/// Where zero stands for another node, there is none: the root is nobody's child.
#[derive(Debug, Default)]
struct Node {
    byte: u8,
    child: usize,
    sibling: usize,
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
        let mut patterns = Self { nodes: vec![Node::default()], begins: [0; 256] };
        for form in &all {
            patterns.add(form);
        }
        patterns.link();
        patterns.nodes.shrink_to_fit();
        patterns
    }

    fn add(&mut self, form: &[u8]) {
        let mut at = 0;
        for byte in form {
            let known = self.child(at, *byte);
            at = if known == 0 { self.grow(at, *byte) } else { known };
        }
        self.nodes[at].ends = form.len();
    }

    fn grow(&mut self, at: usize, byte: u8) -> usize {
        let fresh = self.nodes.len();
        let depth = self.nodes[at].depth + 1;
        let mut node = Node { byte, depth, ..Node::default() };
        if at == 0 {
            self.begins[usize::from(byte)] = fresh;
        } else {
            node.sibling = std::mem::replace(&mut self.nodes[at].child, fresh);
        }
        self.nodes.push(node);
        fresh
    }

    /// Zero: there is none.
    fn child(&self, at: usize, byte: u8) -> usize {
        if at == 0 {
            return self.begins[usize::from(byte)];
        }
        let mut child = self.nodes[at].child;
        while child != 0 && self.nodes[child].byte != byte {
            child = self.nodes[child].sibling;
        }
        child
    }

    /// Breadth first: what a node falls back to is nearer to the root, and done.
    fn link(&mut self) {
        let mut waiting: VecDeque<usize> = self.begins.iter().copied().filter(|child| *child != 0).collect();
        while let Some(at) = waiting.pop_front() {
            let mut child = self.nodes[at].child;
            while child != 0 {
                let fallback = self.step(self.nodes[at].fallback, self.nodes[child].byte);
                let ends = self.nodes[child].ends.max(self.nodes[fallback].ends);
                let node = &mut self.nodes[child];
                (node.fallback, node.ends) = (fallback, ends);
                waiting.push_back(child);
                child = self.nodes[child].sibling;
            }
        }
    }

    fn step(&self, mut at: usize, byte: u8) -> usize {
        loop {
            let child = self.child(at, byte);
            if child != 0 || at == 0 {
                return child;
            }
            at = self.nodes[at].fallback;
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
