//! Learns the routes of one service from its paths: a bounded trie whose positions close when they hold too many values.
//!
//! What is learned only ever becomes coarser: a position that is closed stays closed, and which ones close depends on the
//! set of paths more than on their order. At no time were more different routes given than the limit, whatever comes.

use super::segment::{Class, Segment, segment};
use super::segments;
use std::collections::BTreeSet;

/// The route of everything that there is no room for.
pub const OVERFLOW: &str = "/{*}";
/// What stands for the values of a closed position.
const NAME: &str = "{name}";
/// What stands for all that follows.
const TAIL: &str = "{*}";
/// Segments that a route has at most; the rest is its tail.
const MAX_DEPTH: usize = 16;
/// Hosts with paths of their own; all others share one trie.
const MAX_HOSTS: usize = 32;
/// A position takes so many words whatever room is left.
const MIN_WORDS: usize = 8;
/// A position takes so many odd names whatever room is left.
const MIN_ODD: usize = 4;
/// Different extensions and verbs that a position keeps apart.
const MAX_SUFFIXES: usize = 16;

/// Whether a path may teach a new route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// The service has it.
    Learn,
    /// It may not exist (`404`): it only has a route if that is known.
    Recall,
}

/// Index of a node.
type NodeId = usize;

/// Names under one prefix that end alike.
#[derive(Debug, PartialEq, Eq)]
struct Closed {
    suffix: Box<str>,
    /// This class and more value-like ones are closed.
    from: Class,
}

#[derive(Debug)]
struct Child {
    label: Box<str>,
    suffix: Box<str>,
    class: Class,
    node: NodeId,
}

#[derive(Debug, Default)]
struct Node {
    /// Ordered by label and suffix.
    children: Vec<Child>,
    /// Positions that hold too many values, by extension.
    closed: Vec<Closed>,
    /// Whether too many extensions were seen: then one name stands for all that is no id.
    sealed: bool,
    /// Route of paths that end here, once given.
    route: Option<Box<str>>,
    /// Route of paths that go on below where there is no room, once given.
    tail: Option<Box<str>>,
    /// Whether paths end here.
    is_end: bool,
}

/// Routes of one service.
#[derive(Debug)]
pub struct Learner {
    nodes: Vec<Node>,
    /// Nodes that were merged into others.
    free: Vec<NodeId>,
    hosts: Vec<(Box<str>, NodeId)>,
    /// Different routes that were given so far, [`OVERFLOW`] aside.
    given: usize,
    limit: usize,
}

impl Learner {
    /// Knows nothing yet. At most `limit` different routes, but at least one.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new(), hosts: Vec::new(), given: 0, limit: limit.max(1) }
    }

    /// Route of `path`, which begins with `/`, at `host` (empty for a service's own paths). `None` if there is none.
    pub fn route(&mut self, host: &str, path: &str, lesson: Lesson) -> Option<&str> {
        if !path.starts_with('/') {
            return None;
        }
        let root = self.root(host, lesson)?;
        match (self.find(root, path), lesson) {
            (Some(end), _) if self.nodes[end].route.is_some() => self.nodes[end].route.as_deref(),
            (None, Lesson::Recall) => None,
            _ => Some(self.learn(root, path)),
        }
    }

    fn root(&mut self, host: &str, lesson: Lesson) -> Option<NodeId> {
        if host.is_empty() {
            return Some(0);
        }
        if let Some((_, root)) = self.hosts.iter().find(|(known, _)| &**known == host) {
            return Some(*root);
        }
        if self.hosts.len() >= MAX_HOSTS {
            return Some(0);
        }
        if lesson == Lesson::Recall {
            return None;
        }
        let root = self.add_node();
        self.hosts.push((host.into(), root));
        Some(root)
    }

    /// Node at which `path` ends, if it exists.
    fn find(&self, root: NodeId, path: &str) -> Option<NodeId> {
        let end = keys(path).try_fold(root, |node, key| self.nodes[node].child(&key))?;
        self.nodes[end].is_end.then_some(end)
    }

    fn learn(&mut self, root: NodeId, path: &str) -> &str {
        if self.room() == 0 {
            return self.overflow(root, path);
        }
        let leaf = self.insert(root, path);
        if self.nodes[leaf].route.is_none() {
            let route = self.text(root, path);
            self.given += 1;
            self.nodes[leaf].route = Some(route);
        }
        self.nodes[leaf].route.as_deref().unwrap_or(OVERFLOW)
    }

    /// Different routes that may still be given; an eighth is kept for tails, one for [`OVERFLOW`].
    fn room(&self) -> usize {
        (self.limit - 1 - self.limit / 8).saturating_sub(self.given)
    }

    /// Adds a path and closes what has become too wide on its way. Returns its end.
    fn insert(&mut self, root: NodeId, path: &str) -> NodeId {
        // Each round makes several children one for good, so there are few.
        loop {
            let mut node = root;
            for key in keys(path) {
                node = self.enter(node, &key);
            }
            self.nodes[node].is_end = true;
            if !self.close_first(root, path) {
                return node;
            }
        }
    }

    /// The child of `node` for `key`, made if there is none.
    fn enter(&mut self, node: NodeId, key: &Segment<'_>) -> NodeId {
        let key = self.nodes[node].key(key);
        match self.nodes[node].place(&key) {
            Ok(place) => self.nodes[node].children[place].node,
            Err(place) => {
                let new = self.add_node();
                let child = Child { label: key.label.into(), suffix: key.suffix.into(), class: key.class, node: new };
                self.nodes[node].children.insert(place, child);
                new
            }
        }
    }

    fn add_node(&mut self) -> NodeId {
        if let Some(free) = self.free.pop() {
            return free;
        }
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    /// Closes the first position on the way of `path` that is too wide. `false` if none is.
    fn close_first(&mut self, root: NodeId, path: &str) -> bool {
        let room = self.room();
        let limits = Limits { words: (room / 2).max(MIN_WORDS), odd: (room / 20).max(MIN_ODD) };
        let mut node = root;
        for key in keys(path) {
            if let Some(width) = self.nodes[node].too_wide(&key, limits) {
                self.close(node, &key, width);
                return true;
            }
            let Some(child) = self.nodes[node].child(&key) else { return false };
            node = child;
        }
        false
    }

    /// Closes a position: what stood there becomes one child with all that stood below.
    fn close(&mut self, node: NodeId, key: &Segment<'_>, width: Width) {
        match width {
            Width::Class(from) => self.nodes[node].closed.push(Closed { suffix: key.suffix.into(), from }),
            Width::Suffixes => self.nodes[node].sealed = true,
        }
        self.settle(node);
    }

    /// Merges the children of closed positions.
    fn settle(&mut self, node: NodeId) {
        let children = std::mem::take(&mut self.nodes[node].children);
        let (kept, moved): (Vec<_>, Vec<_>) = children.into_iter().partition(|child| self.nodes[node].key(&child.key()) == child.key());
        self.nodes[node].children = kept;
        for child in moved {
            let into = self.enter(node, &child.key());
            self.merge(child.node, into);
        }
    }

    /// Moves all below `from` below `into`. Routes there have other texts now.
    fn merge(&mut self, from: NodeId, into: NodeId) {
        let Node { children, closed, sealed, is_end, .. } = std::mem::take(&mut self.nodes[from]);
        self.free.push(from);
        let node = &mut self.nodes[into];
        node.is_end |= is_end;
        node.sealed |= sealed;
        let new = closed.into_iter().filter(|new| !node.closed.contains(new)).collect::<Vec<_>>();
        node.closed.extend(new);
        self.settle(into);
        for child in children {
            let below = self.enter(into, &child.key());
            self.merge(child.node, below);
        }
    }

    /// The route where there is no room: the path's first segment and a tail if that is known, else [`OVERFLOW`].
    fn overflow(&mut self, root: NodeId, path: &str) -> &str {
        let Some(first) = keys(path).next() else { return OVERFLOW };
        let key = self.nodes[root].key(&first);
        let Some(node) = self.nodes[root].child(&first) else { return OVERFLOW };
        if self.nodes[node].tail.is_none() {
            if self.given + 1 >= self.limit {
                return OVERFLOW;
            }
            self.given += 1;
            self.nodes[node].tail = Some(format!("/{}{}/{TAIL}", key.label, key.suffix).into());
        }
        self.nodes[node].tail.as_deref().unwrap_or(OVERFLOW)
    }

    /// Text of the route of `path`, whose nodes exist.
    fn text(&self, root: NodeId, path: &str) -> Box<str> {
        let mut text = String::new();
        let mut node = root;
        for key in keys(path) {
            let key = self.nodes[node].key(&key);
            text.push('/');
            text.push_str(key.label);
            text.push_str(key.suffix);
            let Some(child) = self.nodes[node].child(&key) else { break };
            node = child;
        }
        if text.is_empty() {
            text.push('/');
        }
        text.into()
    }
}

/// Segments of a path as the trie knows them; a deep path ends with a tail.
fn keys(path: &str) -> impl Iterator<Item = Segment<'_>> {
    segments(path).take(MAX_DEPTH + 1).enumerate().map(|(depth, raw)| match depth {
        MAX_DEPTH => Segment { label: TAIL, suffix: "", class: Class::Id },
        _ => segment(raw),
    })
}

/// How many values a position may hold.
#[derive(Clone, Copy)]
struct Limits {
    words: usize,
    odd: usize,
}

/// What of a position is too wide.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    /// Names of this class and more value-like ones, with one extension.
    Class(Class),
    /// All names together, of any extension.
    Suffixes,
}

impl Child {
    fn key(&self) -> Segment<'_> {
        Segment { label: &self.label, suffix: &self.suffix, class: self.class }
    }
}

impl Node {
    /// `key` as it stands here: the name of a closed position instead of its value.
    fn key<'a>(&self, key: &Segment<'a>) -> Segment<'a> {
        let name = |suffix| Segment { label: NAME, suffix, class: Class::Id };
        if self.sealed && (key.class != Class::Id || !key.suffix.is_empty()) {
            return name("");
        }
        let is_closed = |closed: &Closed| *closed.suffix == *key.suffix && closed.from <= key.class;
        if key.class != Class::Id && self.closed.iter().any(is_closed) { name(key.suffix) } else { *key }
    }

    fn child(&self, key: &Segment<'_>) -> Option<NodeId> {
        self.place(&self.key(key)).ok().map(|place| self.children[place].node)
    }

    fn place(&self, key: &Segment<'_>) -> Result<usize, usize> {
        self.children.binary_search_by(|child| (&*child.label, &*child.suffix).cmp(&(key.label, key.suffix)))
    }

    /// Whether the position of `key` holds too much.
    fn too_wide(&self, key: &Segment<'_>, limits: Limits) -> Option<Width> {
        if self.children.len() <= limits.odd {
            return None;
        }
        let count = |class| self.children.iter().filter(|child| child.class == class && *child.suffix == *key.suffix).count();
        if count(Class::Odd) > limits.odd {
            return Some(Width::Class(Class::Odd));
        }
        if count(Class::Word) > limits.words {
            return Some(Width::Class(Class::Word));
        }
        (!self.sealed && self.suffixes() > MAX_SUFFIXES).then_some(Width::Suffixes)
    }

    /// Different suffixes here.
    fn suffixes(&self) -> usize {
        self.children.iter().map(|child| &*child.suffix).collect::<BTreeSet<_>>().len()
    }
}

#[cfg(test)]
mod tests;
