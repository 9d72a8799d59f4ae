//! Where claims fall short, the prover puts tests into the code; what it then passes the verifier accepts. Those that cannot fail it takes away.

use trav_compiler::ir::parse::parse;
use trav_compiler::ir::print::print;
use trav_compiler::ir::verify::verify;
use trav_compiler::ir::{FaultKind, Op};
use trav_compiler::prove::prove;
use trav_compiler::source::SourceMap;
use trav_compiler::texts::standard_module;
use trav_compiler::{Effort, compile_some};

/// A copy whose length no claim bounds, from a slot into a result that has less room.
const COPY: &str = "\
traversal part -> bytes up to 8 {
    param n: u64
    source i0 image
    slot s0 buffer 24

b0:
    v0: u64 = arg 0
    copy out[8], s0[0], v0
    return
}
";

#[test]
fn a_copy_of_an_unknown_length_is_tested() {
    let f = parse(COPY).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(verify(f.clone()).is_err(), "without a test there is no evidence");
    let proved = prove(f, &SourceMap::new(), Effort::Many).function.expect("it has no obligation");
    let verified = verify(proved).unwrap_or_else(|e| panic!("{e:#?}"));
    let text = print(&verified);
    assert!(text.contains("check out v") && text.contains("check s0 v"), "{text}");
}

/// Names are compared letter by letter up to the length of one, which is that of the other. Nearer than this is that the letter lies in the directory.
#[test]
fn a_near_fact_that_leads_away_hides_none_behind_it() {
    let (name, text) = standard_module(&["std", "xfs"]).expect("it is in the library");
    let compiled = compile_some(&name, text, &crate::reject::NoModules, Some("lookup_short"));
    let walk = compiled.traversals.iter().find(|t| t.name == "lookup_short").expect("it has no errors");
    let guards = walk.blocks.iter().flat_map(|b| &b.insts).filter_map(|inst| match inst.op {
        Op::Guard { fault, .. } => Some(&walk.faults[fault.fault.index()]),
        _ => None,
    });
    let left: Vec<_> =
        guards.filter(|f| f.kind == FaultKind::Overflow && f.message.ends_with("does not hold")).collect();
    assert!(left.is_empty(), "{left:?}");
}
