//! The types of an object's variables, for debuggers, skeletons and `bpftool map dump`: the state area with the names of the spec, the
//! block area, and the table of faults.

use super::abi::{StateLayout, word};
use super::btf::{self, Btf, TypeId};
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

/// A structure of words, byte areas and other structures, before it is BTF, C or Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Its name.
    pub name: String,
    /// Its members in the order of their offsets. There may be gaps.
    pub fields: Vec<Field>,
    /// Bytes.
    pub size: u32,
}

/// A member of a [`Structure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, alone in its structure.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Byte offset.
    pub offset: u32,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64 bits, unsigned.
    Word,
    /// 64 bits, signed.
    Signed,
    /// So many words.
    Words(u32),
    /// So many bytes.
    Bytes(u32),
    /// Another structure.
    Structure(Structure),
}

impl Kind {
    /// Bytes.
    pub fn size(&self) -> u32 {
        match self {
            Kind::Word | Kind::Signed => 8,
            Kind::Words(n) => 8 * n,
            Kind::Bytes(n) => *n,
            Kind::Structure(s) => s.size,
        }
    }
}

impl Structure {
    fn add(&mut self, name: &str, kind: Kind, offset: u32) {
        let taken = self.fields.iter().any(|f| f.name == name);
        let name = if taken { format!("{name}_{offset}") } else { name.into() };
        self.fields.push(Field { name, kind, offset });
    }

    /// The structure as a type of an object.
    pub fn btf(&self, btf: &mut Btf, scalars: &Scalars) -> TypeId {
        let member = |field: &Field| {
            let ty = match &field.kind {
                Kind::Word => scalars.word,
                Kind::Signed => scalars.signed,
                Kind::Words(n) => btf.array(scalars.word, scalars.int, *n),
                Kind::Bytes(n) => scalars.bytes(btf, *n),
                Kind::Structure(s) => s.btf(btf, scalars),
            };
            btf::Field { name: field.name.clone(), ty, offset: field.offset }
        };
        let members: Vec<btf::Field> = self.fields.iter().map(member).collect();
        btf.structure(&self.name, self.size, &members)
    }
}

/// `struct NAME_state`, laid out as [`StateLayout`] says.
pub fn state(f: &Function, layout: &StateLayout) -> Structure {
    let name = identifier(&f.name);
    let mut state = Structure { name: format!("{name}_state"), fields: Vec::new(), size: layout.size };
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
        state.add(name, Kind::Word, 8 * position as u32);
    }
    if layout.args_size > 0 {
        let args = record(format!("{name}_args"), &f.args, layout.args_size);
        state.add("args", Kind::Structure(args), layout.args);
    }
    if layout.frame_words > 0 {
        state.add("frame", Kind::Words(layout.frame_words), layout.frame);
    }
    let homes = layout.cuts.homes().count() as u32;
    if homes > 0 {
        state.add("homes", Kind::Words(homes), layout.homes);
    }
    for (i, (slot, offset)) in f.slots.iter().zip(&layout.slots).enumerate().filter(|(_, (s, _))| s.size > 0) {
        state.add(&format!("slot{i}_{}", identifier(&slot.name)), Kind::Bytes(slot.size), *offset);
    }
    if layout.out_size > 0 {
        let result = record(format!("{name}_result"), &f.result.leaves("", 0), layout.out_size);
        state.add("result", Kind::Structure(result), layout.out);
    }
    state
}

fn record(name: String, leaves: &[Leaf], size: u32) -> Structure {
    let mut record = Structure { name, fields: Vec::new(), size };
    for leaf in leaves {
        let name = match leaf.name.strip_suffix('?') {
            Some("") => "present".into(),
            Some(inner) => format!("{}_present", identifier(inner)),
            None if leaf.name.is_empty() => "value".into(),
            None => identifier(&leaf.name),
        };
        match leaf.kind {
            LeafKind::Scalar { ty: Ty::I64, .. } => record.add(&name, Kind::Signed, leaf.offset),
            LeafKind::Scalar { ty: Ty::U64 | Ty::Bool, .. } => record.add(&name, Kind::Word, leaf.offset),
            LeafKind::Bytes { max, .. } => {
                record.add(&format!("{name}_len"), Kind::Word, leaf.offset);
                if max > 0 {
                    record.add(&name, Kind::Bytes(max), leaf.offset + 8);
                }
            }
        }
    }
    record
}

/// Bytes of an entry of a fault table.
pub const FAULT_SIZE: u32 = 20;

/// `struct trav_fault`: what a number in the state's word `fault` means. `message` and `file` are offsets in `trav_strings`, where each text
/// ends in a zero byte; `kind` is 1 corrupt, 2 limit, 3 overflow, 4 out of device, 5 fail; `found_as` is how the `{}` of the message is written:
/// 0 unsigned, 1 signed, 16 + n hexadecimal with at least n digits.
pub fn fault_type(btf: &mut Btf, scalars: &Scalars) -> TypeId {
    let names = ["kind", "message", "found_as", "file", "line"];
    let member = |(i, name): (usize, &str)| btf::Field { name: name.into(), ty: scalars.half, offset: 4 * i as u32 };
    let members: Vec<btf::Field> = names.into_iter().enumerate().map(member).collect();
    btf.structure("trav_fault", FAULT_SIZE, &members)
}

/// Texts, each once.
#[derive(Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    known: crate::fx::FxHashMap<String, u32>,
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
