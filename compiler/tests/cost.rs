//! The bound on executed instructions, on programs whose longest way can be counted by hand.

use trav_compiler::bpf::abi::StateLayout;
use trav_compiler::bpf::cost::{InsnBounds, bounds};
use trav_compiler::bpf::insn::{AluOp, Cond, Insn, Rhs};
use trav_compiler::bpf::program::{Flow, Program, Turns};

fn add() -> Insn {
    Insn::alu(AluOp::Add, 1, Rhs::Imm(1))
}

fn branch(off: i16) -> Insn {
    Insn { off, ..Insn::branch(Cond::Ge, 1, Rhs::Imm(9)) }
}

fn jump(off: i16) -> Insn {
    Insn { off, ..Insn::jump() }
}

fn program(insns: Vec<Insn>, flow: Flow) -> Program {
    let (name, relocations, lines, constants) = (String::new(), Vec::new(), Vec::new(), Vec::new());
    let (calls, routines) = (Vec::new(), Vec::new());
    let layout = StateLayout::default();
    Program { name, insns, relocations, calls, routines, lines, constants, layout, flow, block_size: 0, entry: None }
}

fn turns(run: u64) -> Turns {
    Turns { run, walk: run }
}

#[test]
fn the_longer_side_of_a_branch_counts_and_a_wide_immediate_is_one() {
    let [low, high] = Insn::load_imm64(2, 1 << 40);
    // 0: if goto 4; 1: r1 += 1; 2: r1 += 1; 3: goto 6; 4-5: r2 = 1 << 40; 6: exit
    let p = program(vec![branch(3), add(), add(), jump(2), low, high, Insn::exit()], Flow::default());
    assert_eq!(bounds(&p), Some(InsnBounds { run: 5, walk: 5 }));
}

#[test]
fn a_loop_counts_its_header_once_more_than_its_body() {
    // 0: r1 += 1; 1: if goto 4; 2: r1 += 1; 3: goto 1; 4: exit
    let insns = vec![add(), branch(2), add(), jump(-3), Insn::exit()];
    let p = program(insns.clone(), Flow { loops: vec![(1, turns(11))], ..Flow::default() });
    assert_eq!(bounds(&p), Some(InsnBounds { run: 1 + 11 + 10 * 2 + 1, walk: 33 }));
    assert_eq!(bounds(&program(insns, Flow::default())), None, "a circle without a bound");
}

#[test]
fn loops_in_loops_multiply() {
    // 0: if goto 7; 1: r1 += 1; 2: if goto 5; 3: r1 += 1; 4: goto 2; 5: r1 += 1; 6: goto 0; 7: exit
    let insns = vec![branch(6), add(), branch(2), add(), jump(-3), add(), jump(-7), Insn::exit()];
    let p = program(insns, Flow { loops: vec![(0, turns(5)), (2, turns(4))], ..Flow::default() });
    let inner = 4 + 3 * 2;
    assert_eq!(bounds(&p).map(|b| b.run), Some(5 + 4 * (1 + inner + 2) + 1));
}

#[test]
fn a_loop_that_is_entered_in_its_middle_costs_the_way_to_its_header_too() {
    // 0: if goto 3; 1: if goto 5 (header); 2: r1 += 1; 3: r1 += 1; 4: goto 1; 5: exit
    let insns = vec![branch(2), branch(3), add(), add(), jump(-4), Insn::exit()];
    let p = program(insns, Flow { loops: vec![(1, turns(3))], ..Flow::default() });
    assert_eq!(
        bounds(&p).map(|b| b.run),
        Some(1 + 2 + 3 + 2 * 3 + 1),
        "dispatch, the rest of a turn, headers, turns, exit"
    );
}

#[test]
fn a_walk_is_all_of_its_runs() {
    // 0: if goto 3 (a run that goes on); 1: r1 += 1; 2: goto 4; 3: r1 += 1; 4: if goto 8 (header); 5: r1 += 1; 6: r0; 7: exit; 8: exit
    let insns = vec![branch(2), add(), jump(1), add(), branch(3), add(), add(), Insn::exit(), Insn::exit()];
    let flow = Flow { loops: vec![(4, Turns { run: 4, walk: 4 })], resumes: vec![3], suspends: vec![(7, 0)] };
    let bound = bounds(&program(insns, flow)).unwrap();
    // The first run: 0 1 2, then 4 to 7; each later one 0 3, then 4 to 7; three suspend, the fourth only tests.
    assert_eq!(bound, InsnBounds { run: 3 + 4, walk: 3 + 4 + 2 * (2 + 4) + 2 + 1 + 1 });
}
