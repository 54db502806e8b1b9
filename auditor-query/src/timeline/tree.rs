//! Puts moments in causal order: what led to what, each in the order of time.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{
    entry::Entry,
    moment::{self, Moment},
};

/// The moments of entries as trees.
pub(crate) fn moments(entries: &[Entry]) -> Vec<Moment> {
    let mut tree = Tree::of(entries);
    let roots = std::mem::take(&mut tree.roots);
    let mut moments = Vec::new();
    for root in roots {
        tree.grow(root, true, &mut moments);
    }
    moments
}

struct Tree<'e> {
    entries: &'e [Entry],
    /// In the order of time.
    roots: Vec<usize>,
    children: HashMap<usize, Vec<usize>>,
    /// Processes whose birth was told, by pid and start.
    born: HashSet<(u64, u64)>,
    workflows: HashSet<String>,
    grown: HashSet<usize>,
}

impl<'e> Tree<'e> {
    fn of(entries: &'e [Entry]) -> Self {
        // Of an event that was open first, the last says all.
        let by_uid: HashMap<&str, usize> = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.uid(), at))
            .collect();
        let mut order: Vec<usize> = by_uid.values().copied().collect();
        order.sort_by_key(|at| (entries[*at].time_ns(), entries[*at].index));
        let mut tree = Self {
            entries,
            roots: Vec::new(),
            children: HashMap::new(),
            born: HashSet::new(),
            workflows: HashSet::new(),
            grown: HashSet::new(),
        };
        for at in order {
            let entry = &entries[at];
            let parent = match entry.class() {
                "finding" => entry
                    .about()
                    .iter()
                    .filter_map(|uid| by_uid.get(uid))
                    .max()
                    .copied(),
                _ => entry
                    .mcp("/chain/parent")
                    .and_then(|uid| by_uid.get(uid))
                    .copied(),
            };
            match parent.filter(|parent| *parent != at) {
                Some(parent) => tree.children.entry(parent).or_default().push(at),
                None => tree.roots.push(at),
            }
        }
        // What goes in a circle has no beginning: the log is not believed to have none.
        let mut reached = HashSet::new();
        let mut open = tree.roots.clone();
        while let Some(at) = open.pop() {
            if reached.insert(at) {
                open.extend(tree.children.get(&at).into_iter().flatten());
            }
        }
        let lost = by_uid.values().filter(|at| !reached.contains(at)).copied();
        tree.roots.extend(lost.collect::<Vec<_>>());
        tree.roots
            .sort_by_key(|at| (entries[*at].time_ns(), entries[*at].index));
        tree
    }

    /// Adds what an entry tells, and all that it led to.
    fn grow(&mut self, at: usize, is_root: bool, into: &mut Vec<Moment>) {
        if !self.grown.insert(at) {
            return;
        }
        let entry = &self.entries[at];
        if entry.class() == "interaction" {
            if is_root && let Some(workflow) = moment::workflow(entry) {
                let name = workflow.name.clone().unwrap_or_default();
                if self.workflows.insert(name) {
                    into.push(workflow);
                }
            }
            let boot = boot_ns(entry);
            for side in ["client", "server"] {
                let key = ["pid", "start_time"].map(|name| {
                    entry
                        .value(&format!("/{side}/{name}"))
                        .and_then(Value::as_u64)
                });
                if let [Some(pid), Some(start)] = key
                    && self.born.insert((pid, start))
                {
                    into.extend(moment::process(entry, side, boot));
                }
            }
        }
        let mut moment = moment::main(entry);
        for child in self.children.remove(&at).unwrap_or_default() {
            self.grow(child, false, &mut moment.children);
        }
        into.push(moment);
    }
}

/// When the host booted, by the two times that an event tells of its client's birth.
fn boot_ns(entry: &Entry) -> Option<i64> {
    let created_ms = entry
        .json
        .pointer("/actor/process/created_time")?
        .as_i64()?;
    let since_boot = entry.value("/client/start_time")?.as_i64()?;
    Some(
        created_ms
            .saturating_mul(1_000_000)
            .saturating_sub(since_boot),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(index: u64, uid: &str, parent: Option<&str>, time: i64) -> Entry {
        let side = |pid: u64| json!({"pid": pid, "start_time": pid, "exe": "/bin/x"});
        let json = json!({"class_uid": 6003, "metadata": {"uid": uid}, "unmapped": {"mcp": {
            "kind": "request", "method": "tools/call", "target": uid, "time_ns": time, "client": side(1),
            "server": side(2), "chain": {"parent": parent, "basis": "open_request", "certainty": "proven"}}}});
        Entry { index, json }
    }

    fn lines(moments: &[Moment], depth: usize, all: &mut Vec<String>) {
        for moment in moments {
            all.push(format!(
                "{depth} {} {}",
                moment.what,
                moment.name.as_deref().unwrap_or_default()
            ));
            lines(&moment.children, depth + 1, all);
        }
    }

    #[test]
    fn what_led_to_something_comes_before_it() {
        // Told out of order, one open first, one whose parent is not there, two that go in a circle.
        let finding = json!({"class_uid": 2004, "metadata": {"uid": "f"}, "unmapped": {"mcp": {"finding": "odd", "event": "b"}}});
        let entries = [
            entry(0, "b", Some("a"), 20),
            entry(1, "a", None, 10),
            entry(2, "b", Some("a"), 20),
            entry(3, "c", Some("gone"), 5),
            Entry {
                index: 4,
                json: finding,
            },
            entry(5, "x", Some("y"), 40),
            entry(6, "y", Some("x"), 41),
        ];
        let mut all = Vec::new();
        lines(&moments(&entries), 0, &mut all);
        let expected = [
            "0 process /bin/x",
            "0 process /bin/x",
            "0 call c",
            "0 call a",
            "1 call b",
            "2 finding odd",
            "0 call x",
            "1 call y",
        ];
        assert_eq!(all, expected);
    }
}
