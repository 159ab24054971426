//! Objects that come one by one, for a store that creates them together.

use std::sync::{Mutex, PoisonError};

use super::{Creation, Object, Store, StoreError, StoreKey};

/// Keeps them in memory until all are there.
pub(super) struct Gathered<'a, S: ?Sized> {
    store: &'a S,
    objects: Mutex<Vec<(StoreKey, Vec<u8>)>>,
}

impl<'a, S: Store + ?Sized> Gathered<'a, S> {
    pub(super) fn new(store: &'a S) -> Self {
        Self { store, objects: Mutex::default() }
    }
}

impl<S: Store + ?Sized> Creation for Gathered<'_, S> {
    fn add(&self, key: &StoreKey, bytes: &[u8]) -> Result<(), StoreError> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.push((key.clone(), bytes.to_vec()));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let objects = self.objects.into_inner().unwrap_or_else(PoisonError::into_inner);
        let objects: Vec<_> = objects.iter().map(|(key, bytes)| Object { key, bytes }).collect();
        self.store.create(&objects)
    }
}
