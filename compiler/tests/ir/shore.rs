//! Where claims fall short, the prover puts tests into the code; what it then passes the verifier accepts.

use trav_compiler::Effort;
use trav_compiler::ir::parse::parse;
use trav_compiler::ir::print::print;
use trav_compiler::ir::verify::verify;
use trav_compiler::prove::prove;
use trav_compiler::source::SourceMap;

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
