//! How many instructions a run of a program executes at most, and all runs of a walk together.
//!
//! The longest way through the instructions as emitted, where each loop is bounded by how often its first instruction is reached
//! ([`Flow`](super::program::Flow)). A strongly connected part of the graph has one such instruction by which every
//! circle through all of it leads; without it the part falls into smaller ones, and so on (Bourdoncle, "Efficient chaotic iteration strategies with
//! widenings", 1993, has this nesting). For a walk, an edge leads from where a run ends to where the next goes on.

use super::insn::LD_IMM64;
use super::program::{Call, Callee, Program};
use crate::fx::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;

/// Upper bounds on executed instructions; a 64-bit immediate counts as one. What does not fit is `u64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsnBounds {
    /// In one run: from one read to the next.
    pub run: u64,
    /// In a walk.
    pub walk: u64,
}

/// The bounds of a program; none if a circle has no bound, which no program has whose reads are made outside.
pub fn bounds(program: &Program) -> Option<InsnBounds> {
    let flow = &program.flow;
    let mut graph = Graph::of(program);
    let (runs, before): (u64, Vec<u64>) = {
        let turns = flow.loops.iter().map(|(at, t)| (*at, t.run)).collect();
        let ways = Longest { graph: &graph, turns: &turns }.ways(&graph.all(), Some(&[0]))?;
        // Only the dispatch at the start leads to a place where a walk goes on.
        let before = |at: &u32| Some(ways.until.get(at)? - graph.cost[*at as usize]);
        (ways.most(), flow.resumes.iter().map(before).collect::<Option<_>>()?)
    };
    let ends: Vec<(u32, u32, Option<u64>)> =
        flow.suspends.iter().map(|(at, resume)| (*at, *resume, graph.straight(*at))).collect();
    // A walk begins with step 0, by which the dispatch leads to none of these.
    let resumes: FxHashSet<u32> = flow.resumes.iter().copied().collect();
    graph.next.iter_mut().for_each(|next| next.retain(|to| !resumes.contains(to)));
    for (at, resume, rest) in ends {
        let resume = resume as usize;
        graph.add_edge(at, flow.resumes[resume], rest?.saturating_add(before[resume]));
    }
    let turns = flow.loops.iter().map(|(at, t)| (*at, t.walk)).collect();
    let walk = Longest { graph: &graph, turns: &turns }.ways(&graph.all(), Some(&[0]))?.most();
    Some(InsnBounds { run: runs, walk })
}

/// Instructions (and edges that cost something) with what each costs and where it leads.
struct Graph {
    cost: Vec<u64>,
    next: Vec<Vec<u32>>,
}

impl Graph {
    fn of(program: &Program) -> Graph {
        let insns = &program.insns;
        let routine = |call: &Call| match call.callee {
            Callee::Routine(i) => program.routines[i as usize].most,
            Callee::Step | Callee::Kernel(_) => 0,
        };
        let mut graph = Graph { cost: vec![1; insns.len()], next: vec![Vec::new(); insns.len()] };
        for (i, insn) in insns.iter().enumerate() {
            if i > 0 && insns[i - 1].op == LD_IMM64 {
                // The second half of an immediate; the first leads to it, so that it must not count.
                graph.cost[i] = 0;
            }
            graph.next[i] = insn.ways(i as u32).into_iter().flatten().collect();
        }
        program.calls.iter().for_each(|call| graph.cost[call.insn as usize] += routine(call));
        graph
    }

    fn add_edge(&mut self, from: u32, to: u32, cost: u64) {
        self.next[from as usize].push(self.cost.len() as u32);
        self.cost.push(cost);
        self.next.push(vec![to]);
    }

    fn all(&self) -> Vec<u32> {
        (0..self.cost.len() as u32).collect()
    }

    /// The cost of what follows a node to the end, where that is straight or branches forward only; none if there is a circle.
    fn straight(&self, node: u32) -> Option<u64> {
        let turns = Turns::new();
        let next = &self.next[node as usize];
        let mut reached = BTreeSet::new();
        let mut work = next.clone();
        while let Some(i) = work.pop() {
            if reached.insert(i) {
                work.extend(&self.next[i as usize]);
            }
        }
        let nodes: Vec<u32> = reached.into_iter().collect();
        Some(Longest { graph: self, turns: &turns }.ways(&nodes, Some(next))?.most())
    }
}

/// How often the first instruction of a loop is reached, outer loops first.
type Turns = Vec<(u32, u64)>;

struct Longest<'a> {
    graph: &'a Graph,
    turns: &'a Turns,
}

/// For each node that is reached the cost of the longest way that ends with it, all turns of its circles included.
struct Ways {
    until: FxHashMap<u32, u64>,
}

impl Ways {
    fn most(&self) -> u64 {
        self.until.values().copied().max().unwrap_or(0)
    }

    /// The greatest among those nodes.
    fn most_of(&self, nodes: impl Iterator<Item = u32>) -> Option<u64> {
        nodes.filter_map(|n| self.until.get(&n).copied()).max()
    }
}

impl Longest<'_> {
    /// The longest ways inside a set of nodes that begin in one of `starts`, or anywhere.
    fn ways(&self, nodes: &[u32], starts: Option<&[u32]>) -> Option<Ways> {
        let components = Components::of(self.graph, nodes);
        let is_start = |n: &u32| starts.is_none_or(|s| s.contains(n));
        let mut arrive: FxHashMap<u32, u64> = nodes.iter().filter(|n| is_start(n)).map(|n| (*n, 0)).collect();
        let mut ways = Ways { until: FxHashMap::with_capacity_and_hasher(nodes.len(), Default::default()) };
        for (id, component) in components.list.iter().enumerate().rev() {
            let entered: Vec<u32> = component.iter().copied().filter(|n| arrive.contains_key(n)).collect();
            let Some(before) = entered.iter().map(|n| arrive[n]).max() else { continue };
            let cost = match component[..] {
                [one] if !self.graph.next[one as usize].contains(&one) => self.graph.cost[one as usize],
                _ => self.circles(component, &entered)?,
            };
            let end = before.saturating_add(cost);
            for node in component {
                ways.until.insert(*node, end);
                for next in &self.graph.next[*node as usize] {
                    if components.id.get(next).is_some_and(|c| *c != id) {
                        let known = arrive.entry(*next).or_insert(0);
                        *known = end.max(*known);
                    }
                }
            }
        }
        Some(ways)
    }

    /// The most that a stay in a strongly connected set costs.
    fn circles(&self, component: &[u32], entered: &[u32]) -> Option<u64> {
        let inside: FxHashSet<u32> = component.iter().copied().collect();
        let (header, turns) = *self.turns.iter().find(|(at, _)| inside.contains(at))?;
        let rest: Vec<u32> = component.iter().copied().filter(|n| *n != header).collect();
        let next = |n: u32| self.graph.next[n as usize].iter();
        let ways = self.ways(&rest, Some(&self.graph.next[header as usize]))?;
        let turn = ways.most_of(rest.iter().copied().filter(|n| next(*n).any(|t| *t == header))).unwrap_or(0);
        let last = ways.most_of(rest.iter().copied().filter(|n| next(*n).any(|t| !inside.contains(t)))).unwrap_or(0);
        // What lies before the header, if the loop is entered elsewhere.
        let others: Vec<u32> = entered.iter().copied().filter(|n| *n != header).collect();
        let first = if others.is_empty() { 0 } else { self.ways(&rest, Some(&others))?.most() };
        let all = self.graph.cost[header as usize].saturating_mul(turns);
        let all = all.saturating_add(turn.saturating_mul(turns.saturating_sub(1)));
        Some(all.saturating_add(last).saturating_add(first))
    }
}

/// Strongly connected components (Tarjan 1972); each comes after those that it leads to.
struct Components {
    list: Vec<Vec<u32>>,
    /// By node.
    id: FxHashMap<u32, usize>,
}

impl Components {
    fn of(graph: &Graph, nodes: &[u32]) -> Components {
        let set: FxHashSet<u32> = nodes.iter().copied().collect();
        let mut out =
            Components { list: Vec::new(), id: FxHashMap::with_capacity_and_hasher(nodes.len(), Default::default()) };
        // For each node that was met its number, and the least that its part of the search tree leads back to.
        let mut met: FxHashMap<u32, (u32, u32)> = FxHashMap::with_capacity_and_hasher(nodes.len(), Default::default());
        let mut open = Vec::new();
        for root in nodes {
            let mut stack = vec![(*root, 0usize)];
            while let Some((node, i)) = stack.pop() {
                if i == 0 {
                    if met.contains_key(&node) {
                        continue;
                    }
                    met.insert(node, (met.len() as u32, met.len() as u32));
                    open.push(node);
                }
                let low = |met: &mut FxHashMap<u32, (u32, u32)>, n: u32| {
                    let entry = met.get_mut(&node).expect("the node was met");
                    entry.1 = entry.1.min(n);
                };
                let next = &graph.next[node as usize];
                if let Some(done) = i.checked_sub(1).and_then(|i| next.get(i)).filter(|t| set.contains(t))
                    && !out.id.contains_key(done)
                {
                    let least = met[done].1;
                    low(&mut met, least);
                }
                if let Some(target) = next.get(i) {
                    stack.push((node, i + 1));
                    if set.contains(target) && !met.contains_key(target) {
                        stack.push((*target, 0));
                    }
                } else if met[&node].0 == met[&node].1 {
                    let at = open.iter().rposition(|n| *n == node).expect("a node that is met is open");
                    let component = open.split_off(at);
                    component.iter().for_each(|n| {
                        out.id.insert(*n, out.list.len());
                    });
                    out.list.push(component);
                }
            }
        }
        out
    }
}
