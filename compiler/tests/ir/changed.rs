//! The verifier on functions changed at random: it says what is wrong, and never panics.

use super::{Random, golden};
use trav_compiler::ir::parse::parse;
use trav_compiler::ir::verify::verify;
use trav_compiler::ir::*;

/// Changes one thing somewhere: an id, a number, an order.
fn mutate(f: &mut Function, random: &mut Random) {
    let values = f.values.len() as u32;
    let any = |random: &mut Random| Value(random.below(values as usize + 2) as u32);
    let block = random.below(f.blocks.len());
    let blocks = f.blocks.len() as u32;
    match random.below(9) {
        0 if values > 0 => {
            let v = random.below(values as usize);
            let [lo, factor, hi] = [(); 3].map(|()| i128::from(random.word() as i64));
            let step = random.word() >> random.below(64);
            f.values[v].range = Range::in_steps(lo, factor * hi, step, lo);
        }
        1 if values > 0 => {
            let v = random.below(values as usize);
            f.values[v].ty = random.pick(&[Ty::U64, Ty::I64, Ty::Bool]);
        }
        2 => {
            let insts = &mut f.blocks[block].insts;
            if !insts.is_empty() {
                let (a, b) = (random.below(insts.len()), random.below(insts.len()));
                insts.swap(a, b);
            }
        }
        3 => {
            let term = f.blocks[random.below(blocks as usize)].term.clone();
            f.blocks[block].term = term;
        }
        4 => {
            let to = Block(random.below(blocks as usize + 1) as u32);
            match &mut f.blocks[block].term {
                Terminator::Jump(t) | Terminator::Hop { next: t, .. } | Terminator::Emit { next: t, .. } => {
                    t.block = to
                }
                Terminator::Branch { then, .. } => then.block = to,
                Terminator::Return | Terminator::Fault(_) => {}
            }
        }
        5 => f.blocks[block].header = Some(LoopInfo { counter: any(random), most: random.word() }),
        6 => f.blocks[block].disk = Some(Disk { len: any(random), min: random.word() as u32 }),
        7 => {
            let v = any(random);
            f.blocks[block].term.map_uses(|u| if random.below(3) == 0 { v } else { u });
        }
        _ => {
            let v = any(random);
            let insts = &mut f.blocks[block].insts;
            if !insts.is_empty() {
                let i = random.below(insts.len());
                insts[i].op.map_uses(|u| if random.below(2) == 0 { v } else { u });
            }
        }
    }
}

#[test]
fn changed_functions_do_not_panic_the_verifier() {
    let mut random = Random(12);
    let functions: Vec<Function> = golden().iter().map(|(_, text)| parse(text).unwrap()).collect();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        let mut f = functions[random.below(functions.len())].clone();
        for _ in 0..1 + random.below(6) {
            mutate(&mut f, &mut random);
        }
        match verify(f) {
            Ok(_) => good += 1,
            Err(errors) => {
                assert!(!errors.is_empty());
                bad += 1;
            }
        }
    }
    assert!(good > 100 && bad > 1000, "{good} {bad}");
}
