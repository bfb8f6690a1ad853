//! A map that forgets what was not used lately, in two generations: cheap, and never larger than twice its bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroUsize;

/// A bounded map. Entries used since the last turn are young; when the young are `bound` many, the old are forgotten
/// and the young become old.
#[derive(Debug)]
pub struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    bound: NonZeroUsize,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// An empty map that keeps at least the `bound` entries used last, and at most twice as many.
    pub fn new(bound: NonZeroUsize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), bound }
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &K) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    /// Finds an entry without making it young again.
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Finds an entry; it is young again.
    pub fn get(&mut self, key: &K) -> Option<&mut V>
    where
        K: Clone,
    {
        if let Some(value) = self.old.remove(key) {
            self.insert(key.clone(), value);
        }
        self.young.get_mut(key)
    }

    /// Every value.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.young.values_mut().chain(self.old.values_mut())
    }

    /// Puts an entry in, in place of the one that was there.
    pub fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.bound.get() && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_is_forgotten() {
        let mut map = Generations::new(NonZeroUsize::new(2).unwrap());
        for n in 0..3 {
            map.insert(n, n);
        }
        assert_eq!(map.get(&0), Some(&mut 0));
        map.insert(3, 3);
        map.insert(4, 4);
        assert!(map.contains(&0) && !map.contains(&1));
        assert_eq!(map.remove(&0), Some(0));
        assert_eq!(map.peek(&0), None);
    }
}
