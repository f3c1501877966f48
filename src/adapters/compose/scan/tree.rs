//! A compose file as a tree of texts, read with a budget: nothing here can be made to eat memory or time.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

/// Largest compose file.
pub(super) const FILE_LIMIT: u64 = 1 << 20;
/// Deepest nesting.
const DEPTH_LIMIT: usize = 64;
/// Most nodes of a file, after aliases are written out.
const NODE_LIMIT: usize = 100_000;
/// Most bytes of text in these nodes: an alias can repeat a long text as well as many short ones.
const TEXT_LIMIT: usize = 8 << 20;
/// Most brackets that are open at once, as counted before parsing; more makes YAML parsers slow.
const BRACKET_LIMIT: usize = 256;

/// A node; scalars are texts, whatever YAML takes them for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Scalar(String),
    Sequence(Vec<Self>),
    /// Merge keys stay as `<<`.
    Mapping(Vec<(String, Self)>),
}

impl Node {
    /// The members of a mapping, with those that merge keys bring in, whether overridden or not.
    pub(super) fn members(&self) -> Vec<(&str, &Self)> {
        let mut found = Vec::new();
        let Self::Mapping(members) = self else { return found };
        for (key, value) in members {
            if key != "<<" {
                found.push((key.as_str(), value));
                continue;
            }
            match value {
                Self::Sequence(merged) => found.extend(merged.iter().flat_map(Self::members)),
                Self::Mapping(_) => found.extend(value.members()),
                Self::Null | Self::Scalar(_) => {}
            }
        }
        found
    }

    /// All values of a key.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &Self> {
        self.members().into_iter().filter(move |(name, _)| *name == key).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text),
            Self::Null | Self::Sequence(_) | Self::Mapping(_) => None,
        }
    }
}

/// Reads one document, or tells why the file is refused.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, String> {
    let text = str::from_utf8(bytes).map_err(|error| format!("is not UTF-8 ({error}); save it as UTF-8"))?;
    looks_harmless(text)?;
    let budget = Budget { nodes: Cell::new(NODE_LIMIT), text: Cell::new(TEXT_LIMIT) };
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else { return Ok(Node::Null) };
    let node = Seed { budget: &budget, depth: 0, role: Role::Value }
        .deserialize(first)
        .map_err(|error| format!("is not a YAML file that drey reads: {error}"))?;
    if documents.next().is_some() {
        return Err("has more than one YAML document (`---`); put each into a file of its own".to_owned());
    }
    Ok(node)
}

/// What can be told before parsing, and what parsers read in different ways.
fn looks_harmless(text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err("has zero bytes, as UTF-16 has; save it as UTF-8".to_owned());
    }
    if text.lines().any(|line| line.starts_with("%TAG")) {
        return Err("has a `%TAG` directive; write tags out".to_owned());
    }
    let after_tags = || text.match_indices("!!").filter_map(|(at, mark)| text.get(at + mark.len()..));
    let hides = |rest: &str| {
        let tag = rest.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
        tag.starts_with("binary") || (tag.contains('%') && tag.starts_with(|c: char| c.is_ascii_alphabetic()))
    };
    if text.contains("!<") || after_tags().any(hides) {
        return Err("has a tag that hides what a text says (`!<…>`, `!!binary`); write the text".to_owned());
    }
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > BRACKET_LIMIT {
            return Err(format!("has more than {BRACKET_LIMIT} brackets open at once; nest less"));
        }
    }
    Ok(())
}

struct Budget {
    nodes: Cell<usize>,
    text: Cell<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    Value,
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    budget: &'a Budget,
    depth: usize,
    role: Role,
}

impl Seed<'_> {
    fn below(self, role: Role) -> Self {
        Self { depth: self.depth + 1, role, ..self }
    }

    fn scalar<E: de::Error>(self, text: String) -> Result<Node, E> {
        match self.budget.text.get().checked_sub(text.len()) {
            Some(left) => self.budget.text.set(left),
            None => {
                return Err(E::custom(format!(
                    "more than {TEXT_LIMIT} bytes of text after its aliases are written out"
                )));
            }
        }
        Ok(Node::Scalar(text))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.depth > DEPTH_LIMIT {
            return Err(de::Error::custom(format!("nested deeper than {DEPTH_LIMIT}")));
        }
        match self.budget.nodes.get().checked_sub(1) {
            Some(left) => self.budget.nodes.set(left),
            None => {
                let message = format!("more than {NODE_LIMIT} nodes after its aliases are written out");
                return Err(de::Error::custom(message));
            }
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node of a compose file")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.scalar(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(value.to_string())
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        self.scalar(value.to_string())
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        self.scalar(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        self.scalar(value.to_string())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.scalar(value.to_owned())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.below(Role::Value))? {
            items.push(item);
        }
        Ok(Node::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(key) = access.next_key_seed(self.below(Role::Key))? {
            let key = match key {
                Node::Scalar(text) => text,
                Node::Null => "null".to_owned(),
                Node::Sequence(_) | Node::Mapping(_) => {
                    return Err(de::Error::custom("a key that is not a text"));
                }
            };
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format!("the key {key:?} stands twice in one mapping")));
            }
            members.push((key, access.next_value_seed(self.below(Role::Value))?));
        }
        Ok(Node::Mapping(members))
    }

    /// Tags of the file. Compose knows two; what others would do is not known.
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Node, A::Error> {
        let (tag, inner) = access.variant::<String>()?;
        if self.role == Role::Key || !["reset", "override"].contains(&tag.trim_start_matches('!')) {
            return Err(de::Error::custom(format!(
                "the tag {tag:?} is not known (only !reset and !override are)"
            )));
        }
        inner.newtype_variant_seed(self.below(Role::Value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::time::Duration;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err()
    }

    /// What this thread has computed so far: a busy machine makes nothing slow by it.
    fn computed() -> Duration {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
    }

    #[test]
    fn bombs_are_refused_with_little_work() {
        let before = computed();
        let mut laughs = "a0: &a0 [l,l,l,l,l,l,l,l,l,l]\n".to_owned();
        for level in 1..12 {
            let below = level - 1;
            let aliases = vec![format!("*a{below}"); 10].join(",");
            writeln!(laughs, "a{level}: &a{level} [{aliases}]").unwrap();
        }
        assert!(refusal(&laughs).contains("nodes"));
        let long = "x".repeat(500_000);
        assert!(refusal(&format!("a: &a {long}\nb: [{}]", "*a,".repeat(90_000))).contains("bytes of text"));
        assert!(parse(format!("a: {}", "[".repeat(500_000)).as_bytes()).is_err());
        assert!(parse("- ".repeat(500_000).as_bytes()).is_err());
        assert!(parse(format!("[{}]", "a,".repeat(500_000)).as_bytes()).is_err());
        assert!(parse("a: &a [*a]".as_bytes()).is_err());
        assert!(parse("? ".repeat(400_000).as_bytes()).is_err());
        let work = computed() - before;
        assert!(work < Duration::from_secs(10), "{work:?}");
    }

    #[test]
    fn what_parsers_read_differently_is_refused() {
        for text in [
            "a: 1\n---\nb: 2\n",
            "a: 1\n---\n",
            "a: 1\na: 2\n",
            "a: {b: 1, b: 2}\n",
            "a: {1: x, \"1\": y}\n",
            "a: !!binary aW5jbHVkZQ==\n",
            "a: !!bin%61ry aW5jbHVkZQ==\n",
            "a: !<tag:yaml.org,2002:binary> aW5jbHVkZQ==\n",
            "%TAG ! tag:yaml.org,2002:\n---\na: !binary aW5jbHVkZQ==\n",
            "a: !other x\n",
            "!reset a: x\n",
            "[a]: x\n",
            "a: *unknown\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        let utf16: Vec<u8> = "a: 1".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(parse(&utf16).is_err());
        assert!(parse(&[&[0xff, 0xfe][..], &utf16].concat()).is_err());
        assert!(parse(b"a: \xff").is_err());
    }

    #[test]
    fn everyday_files_are_read() {
        let text =
            "---\n# note\na: &a {b: 1}\nc:\n  <<: *a\n  d: !reset []\n  e: !!str 5\n  f: \"hello!!\"\n...\n";
        let node = parse(text.as_bytes()).unwrap();
        let inner = node.all("c").next().unwrap();
        let names: Vec<&str> = inner.members().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "d", "e", "f"]);
        assert_eq!(parse(b""), Ok(Node::Null));
    }
}
