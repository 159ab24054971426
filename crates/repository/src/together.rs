//! Doing together what many ask for at once, so that they share what each would pay for alone, such as
//! a commit.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Requests that wait to be done. Whoever finds nobody at work takes along those who wait, in the order
/// in which they came, and then hands the work on: nobody works for others for ever, and nobody is
/// passed by.
#[derive(Debug)]
pub(crate) struct Together<R, A> {
    state: Mutex<State<R, A>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<R, A> {
    waiting: VecDeque<Arc<Asked<R, A>>>,
    working: bool,
}

/// One request, and its answer once there is one.
#[derive(Debug)]
struct Asked<R, A> {
    request: R,
    answer: Mutex<Option<A>>,
}

impl<R, A> Default for Together<R, A> {
    fn default() -> Self {
        let state = State { waiting: VecDeque::new(), working: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<R, A> Together<R, A> {
    /// Has a request done, by `work` of this caller or of another, and gives the answer to it.
    ///
    /// `work` answers some requests in their order. It gets no more of them than weigh `most` together,
    /// and one more.
    pub(crate) fn ask(
        &self,
        request: R,
        most: usize,
        weight: impl Fn(&R) -> usize,
        work: impl Fn(&[&R]) -> Vec<A>,
    ) -> A {
        let own = Arc::new(Asked { request, answer: Mutex::default() });
        lock(&self.state).waiting.push_back(Arc::clone(&own));
        loop {
            let Some(group) = self.group(&own, most, &weight) else {
                // Nobody else takes this answer.
                if let Some(answer) = lock(&own.answer).take() {
                    return answer;
                }
                continue;
            };
            let _turn = Turn(self);
            let requests: Vec<_> = group.iter().map(|asked| &asked.request).collect();
            for (asked, answer) in group.iter().zip(work(&requests)) {
                *lock(&asked.answer) = Some(answer);
            }
        }
    }

    /// The next that are to be done by this caller; none when `own` is answered.
    fn group(
        &self,
        own: &Arc<Asked<R, A>>,
        most: usize,
        weight: &impl Fn(&R) -> usize,
    ) -> Option<Vec<Arc<Asked<R, A>>>> {
        let answered = || lock(&own.answer).is_some();
        let waits = |state: &mut State<R, A>| state.working && !answered();
        let mut state = self
            .changed
            .wait_while(lock(&self.state), waits)
            .unwrap_or_else(PoisonError::into_inner);
        if answered() {
            return None;
        }
        state.working = true;
        // Not there any more: whoever had taken it along has panicked.
        if !state.waiting.iter().any(|asked| Arc::ptr_eq(asked, own)) {
            return Some(vec![Arc::clone(own)]);
        }
        let (mut group, mut taken) = (Vec::new(), 0);
        while taken < most
            && let Some(asked) = state.waiting.pop_front()
        {
            taken += weight(&asked.request);
            group.push(asked);
        }
        Some(group)
    }
}

/// Ends the work, also when it panics.
struct Turn<'a, R, A>(&'a Together<R, A>);

impl<R, A> Drop for Turn<'_, R, A> {
    fn drop(&mut self) {
        lock(&self.0.state).working = false;
        self.0.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Lets one request begin its work, has others come meanwhile, each named by a number, and gives
    /// the groups in which they were done.
    fn groups_while_one_works(
        others: usize,
        most: usize,
        first: impl Fn() + Sync,
    ) -> Vec<Vec<usize>> {
        let together = Together::<usize, usize>::default();
        let (groups, (begun, is_begun)) = (Mutex::new(Vec::new()), mpsc::channel());
        let work = |requests: &[&usize]| -> Vec<usize> {
            let numbers: Vec<usize> = requests.iter().map(|number| **number).collect();
            lock(&groups).push(numbers.clone());
            if numbers == [0] {
                begun.send(()).unwrap();
                while lock(&together.state).waiting.len() < others {
                    thread::yield_now();
                }
                first();
            }
            numbers.iter().map(|number| number * 10).collect()
        };
        thread::scope(|scope| {
            let ask = |number| together.ask(number, most, |_| 1, work);
            let first = scope.spawn(move || catch_unwind(AssertUnwindSafe(|| ask(0))));
            is_begun.recv().unwrap();
            let others: Vec<_> =
                (1..=others).map(|number| (number, scope.spawn(move || ask(number)))).collect();
            for (number, other) in others {
                assert_eq!(other.join().unwrap(), number * 10);
            }
            assert!(first.join().unwrap().is_err() || lock(&groups).len() > 1);
        });
        groups.into_inner().unwrap()
    }

    #[test]
    fn those_who_come_meanwhile_are_done_together() {
        let mut groups = groups_while_one_works(8, 100, || {});
        assert_eq!((groups.len(), &groups[0]), (2, &vec![0]));
        groups[1].sort_unstable();
        assert_eq!(groups[1], (1..=8).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_are_done_together_than_the_limit() {
        let groups = groups_while_one_works(8, 3, || {});
        let sizes: Vec<_> = groups.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 3, 3, 2]);
    }

    #[test]
    fn a_panic_of_one_who_works_stops_nobody_else() {
        let groups = groups_while_one_works(4, 100, || panic!("one of the test"));
        assert_eq!(groups.len(), 2);
    }

    #[test]
    fn whom_a_panic_took_along_is_done_alone() {
        let together = Together::<usize, usize>::default();
        let asked = Arc::new(Asked { request: 7, answer: Mutex::default() });
        // Taken along, never answered.
        assert_eq!(together.group(&asked, 9, &|_| 1).unwrap().len(), 1);
        drop(Turn(&together));
        assert_eq!(together.ask(8, 9, |_| 1, |requests| vec![requests.len()]), 1);
    }
}
