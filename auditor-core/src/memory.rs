//! A table with a bound that forgets its oldest entries.

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// At most `LIMIT` entries; the oldest goes first.
#[derive(Debug)]
pub(crate) struct Memory<K, V, const LIMIT: usize> {
    known: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V, const LIMIT: usize> Default for Memory<K, V, LIMIT> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, V, const LIMIT: usize> Memory<K, V, LIMIT> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.known.get(key)
    }

    pub(crate) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.known.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.known.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut memory = Memory::<u32, u32, 10>::default();
        for key in 0..20 {
            memory.insert(key, key);
            memory.insert(key, key + 1);
        }
        assert_eq!(memory.known.len(), 10);
        assert_eq!(memory.get(&9), None);
        assert_eq!(memory.get_mut(&10), Some(&mut 11));
    }
}
