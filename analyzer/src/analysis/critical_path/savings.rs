//! What would be won if something were faster.
//!
//! The tree is read as a plan: a child starts some time after the last of its siblings that had ended by then (or after
//! its parent began), and a parent ends some time after its last child. Those times in between are the parent's own
//! work. Taking the own work of an operation away and running the plan again says how much sooner the root would end;
//! running it backwards says how much later a span could end before the root does.

use super::Tree;

/// A plan made from a tree.
pub(crate) struct Plan<'a> {
    tree: &'a Tree,
    /// Children by their start.
    by_start: Vec<Vec<usize>>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        let by_start = tree.nodes.iter().map(|node| {
            let mut children = node.children.clone();
            children.sort_unstable_by_key(|&child| (tree.span(child).0, child));
            children
        });
        Self { tree, by_start: by_start.collect() }
    }

    /// How much sooner the root would end if the spans for which `free` holds did no work of their own.
    pub(crate) fn saved(&self, free: impl Fn(usize) -> bool) -> i64 {
        // How long a span would take, and where in its parent it would end.
        let mut length = vec![0i64; self.tree.nodes.len()];
        let mut end_in_parent = vec![0i64; self.tree.nodes.len()];
        for &at in self.tree.order.iter().rev() {
            let (start, end) = self.tree.span(at);
            let work = |gap: i64| if free(at) { 0 } else { gap };
            let mut ended = self.tree.children(at).iter().rev().peekable();
            let (mut last_end, mut last_end_then) = (start, 0);
            for &child in self.by_start.get(at).into_iter().flatten() {
                let (child_start, _) = self.tree.span(child);
                while let Some(&before) = ended.next_if(|&&before| self.tree.span(before).1 <= child_start) {
                    last_end = last_end.max(self.tree.span(before).1);
                    last_end_then = last_end_then.max(end_in_parent.get(before).copied().unwrap_or(0));
                }
                let then = last_end_then + work(child_start - last_end) + length.get(child).copied().unwrap_or(0);
                if let Some(slot) = end_in_parent.get_mut(child) {
                    *slot = then;
                }
            }
            for &before in ended {
                last_end = last_end.max(self.tree.span(before).1);
                last_end_then = last_end_then.max(end_in_parent.get(before).copied().unwrap_or(0));
            }
            if let Some(slot) = length.get_mut(at) {
                *slot = last_end_then + work(end - last_end);
            }
        }
        let (start, end) = self.tree.span(self.tree.root);
        (end - start) - length.get(self.tree.root).copied().unwrap_or(0)
    }

    /// For each span, how much later it could end before the root would: `None` for spans outside the tree.
    pub(crate) fn slack(&self) -> Vec<Option<i64>> {
        let mut may_end: Vec<Option<i64>> = vec![None; self.tree.nodes.len()];
        if let Some(slot) = may_end.get_mut(self.tree.root) {
            *slot = self.tree.order.first().map(|&root| self.tree.span(root).1);
        }
        for &at in &self.tree.order {
            let Some(parent_may_end) = may_end.get(at).copied().flatten() else { continue };
            self.slack_below(at, parent_may_end, &mut may_end);
        }
        let all = may_end.iter().enumerate();
        all.map(|(at, may_end)| may_end.map(|may_end| may_end - self.tree.span(at).1)).collect()
    }

    fn slack_below(&self, at: usize, parent_may_end: i64, may_end: &mut [Option<i64>]) {
        let (start, end) = self.tree.span(at);
        let children = self.by_start.get(at).map_or(&[][..], Vec::as_slice);
        let last_end = self.tree.children(at).first().map_or(start, |&last| self.tree.span(last).1);
        let by_parent = parent_may_end - (end - last_end);
        // For the children from each place on: when everything that they wait for has to be over.
        let mut over_by = vec![i64::MAX; children.len() + 1];
        let mut waits = self.tree.children(at).iter().peekable();
        for (place, &child) in children.iter().enumerate().rev() {
            let (child_start, child_end) = self.tree.span(child);
            let after = children.partition_point(|&other| self.tree.span(other).0 < child_end);
            let may = by_parent.min(over_by.get(after).copied().unwrap_or(i64::MAX));
            if let Some(slot) = may_end.get_mut(child) {
                *slot = Some(may);
            }
            // Starts go down, so what had ended by then only gets less.
            while waits.next_if(|&&other| self.tree.span(other).1 > child_start).is_some() {}
            let waited_for = waits.peek().map_or(start, |&&other| self.tree.span(other).1);
            let may_start = may - (child_end - child_start) - (child_start - waited_for);
            let later = over_by.get(place + 1).copied().unwrap_or(i64::MAX);
            if let Some(slot) = over_by.get_mut(place) {
                *slot = later.min(may_start);
            }
        }
    }
}
