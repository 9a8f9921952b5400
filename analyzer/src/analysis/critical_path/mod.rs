//! What made a trace as slow as it was.
//!
//! Walking back from the root's end: the child that ended last before the cursor is what was waited for; what lies
//! between its end and the cursor is the parent's own time; the walk goes on inside the child, and then before it. The
//! sections found that way are disjoint and cover the root exactly. [`savings`] asks the same tree what would be won.

pub(crate) mod savings;
#[cfg(test)]
mod tests;

/// One span, as far as the path needs it. Times are ns on any common clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timed {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) parent: Option<usize>,
    /// Whether the parent waits for it: what a queue hands on, nobody waits for.
    pub(crate) awaited: bool,
}

/// A stretch of time spent in one span and in none of its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// The span's position.
    pub(crate) span: usize,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// The spans below a root, each cut to what lies within its parent.
#[derive(Debug)]
pub(crate) struct Tree {
    root: usize,
    nodes: Vec<Node>,
    /// Parents before children.
    order: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Cut to the parent; of no length where nothing of it lies within.
    start: i64,
    end: i64,
    /// Children of some length, the last to end first.
    children: Vec<usize>,
}

impl Tree {
    /// Cuts and sorts the spans below `root`. Whatever the parents say, circles included, every span is in at most once.
    pub(crate) fn new(spans: &[Timed], root: usize) -> Self {
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        for (at, span) in spans.iter().enumerate() {
            let parent = span.parent.filter(|&parent| span.awaited && at != root && parent != at);
            if let Some(siblings) = parent.and_then(|parent| children.get_mut(parent)) {
                siblings.push(at);
            }
        }
        let mut tree = Self { root, nodes: vec![Node::default(); spans.len()], order: Vec::new() };
        if let (Some(span), Some(node)) = (spans.get(root), tree.nodes.get_mut(root)) {
            (node.start, node.end) = (span.start, span.end.max(span.start));
            tree.order.push(root);
        }
        let mut next = 0;
        while let Some(&at) = tree.order.get(next) {
            next += 1;
            let (from, to) = tree.span(at);
            for child in children.get_mut(at).map(std::mem::take).unwrap_or_default() {
                if let (Some(span), Some(node)) = (spans.get(child), tree.nodes.get_mut(child)) {
                    (node.start, node.end) = (span.start.clamp(from, to), span.end.clamp(from, to));
                    if node.start < node.end {
                        tree.order.push(child);
                    }
                }
            }
        }
        tree.sort(spans);
        tree
    }

    /// Hands every span to its parent, the last to end first. Of those that end at one moment, one that ended then by
    /// itself goes before one that was cut, and then the longest.
    fn sort(&mut self, spans: &[Timed]) {
        let mut sorted = self.order.clone();
        sorted.sort_unstable_by_key(|&at| {
            let (start, end) = self.span(at);
            (std::cmp::Reverse(end), spans.get(at).is_some_and(|span| span.end > end), start, at)
        });
        for at in sorted.into_iter().filter(|&at| at != self.root) {
            let parent = spans.get(at).and_then(|span| span.parent);
            if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(parent)) {
                parent.children.push(at);
            }
        }
    }

    fn span(&self, at: usize) -> (i64, i64) {
        self.nodes.get(at).map_or((0, 0), |node| (node.start, node.end))
    }

    fn children(&self, at: usize) -> &[usize] {
        self.nodes.get(at).map_or(&[], |node| &node.children)
    }

    /// The critical path, in the order of time.
    pub(crate) fn sections(&self) -> Vec<Section> {
        struct Frame {
            span: usize,
            start: i64,
            cursor: i64,
            next: usize,
        }
        let mut sections = Vec::new();
        let mut section = |span, start, end| {
            if start < end {
                sections.push(Section { span, start, end });
            }
        };
        let frame = |span| {
            let (start, cursor) = self.span(span);
            Frame { span, start, cursor, next: 0 }
        };
        let mut stack: Vec<Frame> = self.order.first().map(|&root| frame(root)).into_iter().collect();
        while let Some(here) = stack.last_mut() {
            match self.children(here.span).get(here.next) {
                Some(&child) => {
                    here.next += 1;
                    let child = frame(child);
                    if child.cursor <= here.cursor {
                        section(here.span, child.cursor, here.cursor);
                        here.cursor = child.start;
                        stack.push(child);
                    }
                }
                None => {
                    section(here.span, here.start, here.cursor);
                    stack.pop();
                }
            }
        }
        sections.reverse();
        sections
    }
}
