//! Independent pieces of work, shared out among the machine's cores. The results come in the order of the pieces, whoever did them when.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Room for recursion over nested syntax, which the parser bounds.
const STACK_BYTES: usize = 64 << 20;

/// Less text than this is parsed, or compiled, before another thread has begun.
const WORTH_BYTES: usize = 4 << 10;

/// What `f` makes of each item, where all of them stand for so many bytes of text.
pub fn map<T: Sync, R: Send>(items: &[T], text_bytes: usize, f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = if text_bytes < WORTH_BYTES { 1 } else { cores().min(items.len()) };
    if workers < 2 {
        return items.iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let indices = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < items.len()));
        indices.map(|i| (i, f(&items[i]))).collect::<Vec<_>>()
    };
    let mut done = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..workers).filter_map(spawn).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Cores that this process may use. Asked once: the answer takes reading files.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}
