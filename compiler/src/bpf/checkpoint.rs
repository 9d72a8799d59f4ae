//! Where the kernel's verifier is made to keep its state.
//!
//! Two ways through a program become one where the verifier comes to a state that it has kept. In a loop it keeps one only where twenty jumps or a
//! hundred instructions lie behind the last (`is_state_visited`, kernel/bpf/verifier.c). So several turns of a loop may go by without a state, and all
//! ways out of a loop inside are followed through all of them: of two nested loops of 16 and 31 turns, of which the inner one ends at what it
//! finds, it went through 566,508 instructions. With a state kept in each turn of the outer loop these are 14,364.
//!
//! Twenty jumps to the next instruction are always far enough. Once a program is verified, the kernel takes them away (`opt_remove_nops`).

/// So many are written at the head of a loop around another.
pub const JUMPS: u32 = 20;
