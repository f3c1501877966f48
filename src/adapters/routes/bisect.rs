//! Which environments make a configuration that the proxy refuses.

use std::collections::BTreeMap;

/// Names sets of environments to try, until those are known that cannot be among the others. The empty set was taken.
///
/// Sets grow by what was taken: of two that are refused only together the later one is bad.
#[derive(Debug)]
pub(super) struct Search {
    good: Vec<u64>,
    bad: BTreeMap<u64, String>,
    /// What is not judged yet; the next part is at the end, and tried with all good ones.
    parts: Vec<Vec<u64>>,
}

impl Search {
    pub(super) fn new(all: Vec<u64>) -> Self {
        Self { good: Vec::new(), bad: BTreeMap::new(), parts: vec![all] }
    }

    /// The next set to try; none: all are judged.
    pub(super) fn next(&mut self) -> Option<Vec<u64>> {
        self.parts.retain(|part| !part.is_empty());
        self.parts.last().map(|part| [self.good.as_slice(), part.as_slice()].concat())
    }

    /// Whether that set was refused, and why.
    pub(super) fn told(&mut self, refused: Option<String>) {
        let Some(part) = self.parts.pop() else { return };
        match (refused, part.as_slice()) {
            (None, _) => self.good.extend(part),
            (Some(why), [one]) => {
                self.bad.insert(*one, why);
            }
            (Some(_), _) => {
                let (first, second) = part.split_at(part.len() / 2);
                self.parts.extend([second.to_vec(), first.to_vec()]);
            }
        }
    }

    /// Those that are refused, with the proxy's words.
    pub(super) fn bad(self) -> BTreeMap<u64, String> {
        self.bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(many: u64, is_bad: impl Fn(&[u64]) -> bool) -> (Vec<u64>, usize) {
        let (mut search, mut tries) = (Search::new((0..many).collect()), 0);
        while let Some(some) = search.next() {
            tries += 1;
            search.told(is_bad(&some).then(|| "bad".to_owned()));
        }
        (search.bad().into_keys().collect(), tries)
    }

    #[test]
    fn the_bad_ones_are_found_with_few_tries() {
        let (bad, tries) = found(1000, |some| some.contains(&617));
        assert_eq!(bad, [617]);
        assert!(tries <= 24, "{tries}");
        assert_eq!(found(100, |some| some.contains(&0) || some.contains(&99)).0, [0, 99]);
        assert_eq!(found(1, |some| some.contains(&0)).0, [0]);
        assert!(found(0, |_| false).0.is_empty());
    }

    #[test]
    fn of_two_that_are_refused_together_one_stays() {
        assert_eq!(found(40, |some| some.contains(&3) && some.contains(&31)).0, [31]);
    }
}
