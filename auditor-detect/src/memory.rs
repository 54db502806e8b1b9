//! A table with a bound that forgets what was not used for longest, roughly: an entry that was used since it came up for
//! eviction last is spared once. So a flood of new keys does not push out what is in use.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// At most `limit` entries.
#[derive(Debug)]
pub(crate) struct Memory<K, V> {
    limit: usize,
    known: HashMap<K, (V, bool)>,
    order: VecDeque<K>,
    evicted: u64,
}

impl<K: Copy + Eq + Hash, V> Memory<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            known: HashMap::new(),
            order: VecDeque::new(),
            evicted: 0,
        }
    }

    /// The entry of a key, which counts as used by that.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.known.get_mut(key).map(|(value, used)| {
            *used = true;
            value
        })
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(old) = self.known.get_mut(&key) {
            *old = (value, true);
            return;
        }
        // Each entry is spared at most once a round, so this ends.
        while self.known.len() >= self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            match self.known.get_mut(&oldest) {
                Some((_, used)) if *used => {
                    *used = false;
                    self.order.push_back(oldest);
                }
                _ => {
                    self.known.remove(&oldest);
                    self.evicted += 1;
                }
            }
        }
        self.known.insert(key, (value, false));
        self.order.push_back(key);
    }

    /// All entries, those that are forgotten first at the front.
    pub(crate) fn entries(&self) -> Vec<(K, V)>
    where
        V: Clone,
    {
        let each = self.order.iter();
        each.filter_map(|key| Some((*key, self.known.get(key)?.0.clone())))
            .collect()
    }

    pub(crate) fn extend(&mut self, entries: Vec<(K, V)>) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_does_not_push_out_what_is_in_use() {
        let mut memory = Memory::new(10);
        memory.insert(0, "in use");
        for key in 1..1_000 {
            memory.get(&0);
            memory.insert(key, "flood");
        }
        assert_eq!(memory.len(), 10);
        assert_eq!(memory.order.len(), 10);
        assert_eq!(memory.evicted(), 990);
        assert_eq!(memory.get(&0), Some(&mut "in use"));
        assert_eq!(memory.get(&1), None);
    }
}
