//! The same work on all cores.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

/// How many there are.
pub(crate) fn count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Does `work` on parts of `items`, each of neighbours, one for each core; what came of them, in order.
pub(crate) fn on_all_cores<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&[T]) -> R + Sync,
) -> Vec<R> {
    let mut parts = items.chunks(items.len().div_ceil(count()).max(1));
    let Some(first) = parts.next() else { return Vec::new() };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut done = vec![work(first)];
        // A panic of another thread goes on in this one.
        let join = |other: thread::ScopedJoinHandle<'_, R>| {
            other.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        done.extend(others.into_iter().map(join));
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_in_order() {
        for count in [0, 1, 2, 3, 7, 100] {
            let items: Vec<u32> = (0..count).collect();
            let done = on_all_cores(&items, <[u32]>::to_vec);
            assert_eq!(done.concat(), items);
        }
    }
}
