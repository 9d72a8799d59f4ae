//! Ways back that are no jumps.
//!
//! Before it walks through a program, the verifier goes through its instructions depth first (`check_cfg`, kernel/bpf/verifier.c). Older
//! kernels (6.1, no longer 6.12) refuse one that leads back to where they come from, unless it is a jump. Code in which a run can begin in the
//! middle of a loop has such places: what is behind a row's end falls into the loop's head.

use crate::bpf::insn::Insn;

/// The instructions that such a kernel comes back to from the one above.
pub fn fallen_back_to(insns: &[Insn]) -> Vec<u32> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        OnTheWay,
        Done,
    }
    let mut state = vec![State::New; insns.len()];
    let mut found = Vec::new();
    let mut way = vec![(0, 0)];
    state[0] = State::OnTheWay;
    while let Some((at, tried)) = way.last_mut() {
        let insn = insns[*at as usize];
        let Some(to) = insn.ways(*at).get(*tried).copied().flatten() else {
            state[*at as usize] = State::Done;
            way.pop();
            continue;
        };
        *tried += 1;
        match state[to as usize] {
            State::New => {
                state[to as usize] = State::OnTheWay;
                way.push((to, 0));
            }
            State::OnTheWay if !insn.jumps() => found.push(to),
            State::OnTheWay | State::Done => {}
        }
    }
    found
}
