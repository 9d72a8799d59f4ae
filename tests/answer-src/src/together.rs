//! Walks made ready on the engines that were asked for. On several of them the traces must be the same to the byte: reads, rows and how a walk
//! ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::{Engine, ExecError, Executor, Trace};
use trav_runtime::image::Sources;

/// The engines, and the walks that are ready: sessions on other images use them again, since a kernel takes seconds to verify some.
pub struct Engines {
    engines: Vec<Engine>,
    /// By format and walk.
    ready: RefCell<HashMap<(&'static str, String), Shared>>,
}

impl Engines {
    /// No walk is ready yet.
    pub fn new(engines: Vec<Engine>) -> Self {
        Engines { engines, ready: RefCell::default() }
    }

    /// Makes a walk of a format ready on all engines. Its answers are the first one's.
    pub fn prepare(&self, module: &'static str, walk: &Verified) -> Result<Box<dyn Executor>, ExecError> {
        let key = (module, walk.name.clone());
        if let Some(shared) = self.ready.borrow().get(&key) {
            return Ok(Box::new(shared.clone()));
        }
        let executors = self.engines.iter().map(|engine| engine.prepare(walk)).collect::<Result<_, _>>()?;
        let shared = Shared(Rc::new(RefCell::new(Together { walk: walk.name.clone(), executors })));
        self.ready.borrow_mut().insert(key, shared.clone());
        Ok(Box::new(shared))
    }
}

/// A walk that several sessions run, one after another.
#[derive(Clone)]
struct Shared(Rc<RefCell<Together>>);

impl Executor for Shared {
    fn name(&self) -> &'static str {
        self.0.borrow().name()
    }

    fn run(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        self.0.borrow_mut().run(args, sources)
    }
}

/// A walk on several engines.
struct Together {
    walk: String,
    executors: Vec<Box<dyn Executor>>,
}

impl Executor for Together {
    fn name(&self) -> &'static str {
        self.executors[0].name()
    }

    fn run(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        let [first, others @ ..] = self.executors.as_mut_slice() else { panic!("some engine was asked for") };
        let want = first.run(args, sources)?;
        for other in others {
            let got = other.run(args, sources)?;
            if let Some(difference) = difference(&want, &got) {
                panic!("{}: {} and {} differ: {difference}", self.walk, first.name(), other.name());
            }
        }
        Ok(want)
    }
}

/// The first thing in which two traces differ.
fn difference(a: &Trace, b: &Trace) -> Option<String> {
    fn first<T: PartialEq + std::fmt::Debug>(what: &str, a: &[T], b: &[T]) -> Option<String> {
        let n = (0..a.len().max(b.len())).find(|&n| a.get(n) != b.get(n))?;
        Some(format!("{what} {n}: {:?} and {:?}", a.get(n), b.get(n)))
    }
    let ends = || (a.outcome != b.outcome).then(|| format!("ends {:?} and {:?}", a.outcome, b.outcome));
    first("hop", &a.hops, &b.hops).or_else(|| first("row", &a.rows, &b.rows)).or_else(ends)
}

#[cfg(test)]
mod tests {
    use super::difference;
    use trav_compiler::ir::SourceId;
    use trav_runtime::exec::{Hop, Outcome, Trace};

    #[test]
    fn the_first_difference_is_named() {
        let hop = |offset| Hop { source: SourceId(0), offset, len: 512 };
        let trace = Trace { hops: vec![hop(0), hop(1024)], rows: vec![vec![7]], outcome: Outcome::Done(vec![]) };
        assert_eq!(difference(&trace, &trace), None);
        let named = |change: fn(&mut Trace), what: &str| {
            let mut other = trace.clone();
            change(&mut other);
            let difference = difference(&trace, &other).expect("they differ");
            assert!(difference.starts_with(what), "{difference}");
        };
        named(|t| t.hops[1].offset = 1536, "hop 1: ");
        named(|t| t.hops.truncate(1), "hop 1: ");
        named(|t| t.rows.push(vec![8]), "row 1: ");
        named(|t| t.outcome = Outcome::Done(vec![1]), "ends ");
    }
}
