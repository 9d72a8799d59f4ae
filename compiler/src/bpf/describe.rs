//! The types of an object's variables, for debuggers, skeletons and `bpftool map dump`: the state area with the names of the spec, the
//! block area, and the table of faults.

use super::abi::{StateLayout, word};
use super::btf::{Btf, Member, TypeId};
use crate::ir::schema::{Leaf, LeafKind};
use crate::ir::{Fault, FaultKind, FoundAs, Function, Ty};
use crate::source::SourceMap;

/// The integer types of an object.
#[derive(Clone, Copy, Debug)]
pub struct Scalars {
    /// Index and result type.
    pub int: TypeId,
    /// One byte.
    pub byte: TypeId,
    /// 32 bits.
    pub half: TypeId,
    /// 64 bits, unsigned.
    pub word: TypeId,
    /// 64 bits, signed.
    pub signed: TypeId,
}

impl Scalars {
    /// Makes them.
    pub fn new(btf: &mut Btf) -> Scalars {
        Scalars {
            int: btf.int("int", 4, true),
            byte: btf.int("unsigned char", 1, false),
            half: btf.int("unsigned int", 4, false),
            word: btf.int("unsigned long long", 8, false),
            signed: btf.int("long long", 8, true),
        }
    }

    /// So many bytes.
    pub fn bytes(&self, btf: &mut Btf, n: u32) -> TypeId {
        btf.array(self.byte, self.int, n)
    }
}

/// A name that C and the kernel take: identifier characters, and not too long with what is put behind it.
pub fn identifier(name: &str) -> String {
    const MAX: usize = 96;
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(MAX).collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

/// `struct NAME_state`, laid out as [`StateLayout`] says.
pub fn state(btf: &mut Btf, scalars: &Scalars, f: &Function, layout: &StateLayout) -> TypeId {
    let name = identifier(&f.name);
    let mut members: Vec<Member> = Vec::new();
    let mut add = |name: &str, ty: TypeId, offset: u32| members.push(Member { name: name.into(), ty, offset });
    let header = [
        ("step", word::STEP),
        ("status", word::STATUS),
        ("offset", word::OFFSET),
        ("len", word::LEN),
        ("source", word::SOURCE),
        ("fault", word::FAULT),
        ("found", word::FOUND),
        ("at", word::AT),
        ("flags", word::FLAGS),
    ];
    for (name, position) in header {
        add(name, scalars.word, 8 * position as u32);
    }
    if layout.args_size > 0 {
        let ty = record(btf, scalars, &format!("{name}_args"), &f.args, layout.args_size);
        add("args", ty, layout.args);
    }
    if layout.frame_words > 0 {
        let ty = btf.array(scalars.word, scalars.int, layout.frame_words);
        add("frame", ty, layout.frame);
    }
    let homes = layout.cuts.homes().count() as u32;
    if homes > 0 {
        let ty = btf.array(scalars.word, scalars.int, homes);
        add("homes", ty, layout.homes);
    }
    for (i, (slot, offset)) in f.slots.iter().zip(&layout.slots).enumerate().filter(|(_, (s, _))| s.size > 0) {
        let ty = scalars.bytes(btf, slot.size);
        add(&format!("slot{i}_{}", identifier(&slot.name)), ty, *offset);
    }
    if layout.out_size > 0 {
        let leaves = f.result.leaves("", 0);
        let ty = record(btf, scalars, &format!("{name}_result"), &leaves, layout.out_size);
        add("result", ty, layout.out);
    }
    btf.structure(&format!("{name}_state"), layout.size, &members)
}

fn record(btf: &mut Btf, scalars: &Scalars, name: &str, leaves: &[Leaf], size: u32) -> TypeId {
    let mut members: Vec<Member> = Vec::new();
    let mut add = |name: String, ty: TypeId, offset: u32| {
        let taken = members.iter().any(|m| m.name == name);
        let name = if taken { format!("{name}_{offset}") } else { name };
        members.push(Member { name, ty, offset });
    };
    for leaf in leaves {
        let name = match leaf.name.strip_suffix('?') {
            Some("") => "present".into(),
            Some(inner) => format!("{}_present", identifier(inner)),
            None if leaf.name.is_empty() => "value".into(),
            None => identifier(&leaf.name),
        };
        match leaf.kind {
            LeafKind::Scalar { ty: Ty::I64, .. } => add(name, scalars.signed, leaf.offset),
            LeafKind::Scalar { ty: Ty::U64 | Ty::Bool, .. } => add(name, scalars.word, leaf.offset),
            LeafKind::Bytes { max, .. } => {
                add(format!("{name}_len"), scalars.word, leaf.offset);
                if max > 0 {
                    let ty = scalars.bytes(btf, max);
                    add(name, ty, leaf.offset + 8);
                }
            }
        }
    }
    btf.structure(name, size, &members)
}

/// Bytes of an entry of a fault table.
pub const FAULT_SIZE: u32 = 20;

/// `struct trav_fault`: what a number in the state's word `fault` means. `message` and `file` are offsets in `trav_strings`, where each text
/// ends in a zero byte; `kind` is 1 corrupt, 2 limit, 3 overflow, 4 out of device, 5 fail; `found_as` is how the `{}` of the message is written:
/// 0 unsigned, 1 signed, 16 + n hexadecimal with at least n digits.
pub fn fault_type(btf: &mut Btf, scalars: &Scalars) -> TypeId {
    let names = ["kind", "message", "found_as", "file", "line"];
    let member = |(i, name): (usize, &str)| Member { name: name.into(), ty: scalars.half, offset: 4 * i as u32 };
    let members: Vec<Member> = names.into_iter().enumerate().map(member).collect();
    btf.structure("trav_fault", FAULT_SIZE, &members)
}

/// Texts, each once.
#[derive(Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    known: std::collections::HashMap<String, u32>,
}

impl Strings {
    fn offset(&mut self, s: &str) -> u32 {
        if let Some(offset) = self.known.get(s) {
            return *offset;
        }
        let offset = self.bytes.len() as u32;
        self.bytes.extend(s.bytes().filter(|b| *b != 0));
        self.bytes.push(0);
        self.known.insert(s.into(), offset);
        offset
    }

    /// All of them.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// One entry of a fault table.
pub fn fault_entry(fault: &Fault, sources: &SourceMap, strings: &mut Strings) -> [u8; FAULT_SIZE as usize] {
    let kind = match fault.kind {
        FaultKind::Corrupt => 1,
        FaultKind::Limit => 2,
        FaultKind::Overflow => 3,
        FaultKind::OutOfDevice => 4,
        FaultKind::Fail => 5,
    };
    let found_as = match fault.found_as {
        FoundAs::Unsigned => 0,
        FoundAs::Signed => 1,
        FoundAs::Hex(digits) => 16 + u32::from(digits),
    };
    let place = sources.place(fault.span);
    let words = [kind, strings.offset(&fault.message), found_as, strings.offset(&place.file), place.line];
    let mut entry = [0; FAULT_SIZE as usize];
    entry.chunks_mut(4).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
    entry
}
