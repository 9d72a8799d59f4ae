//! BTF, the type information of a BPF object, and `.BTF.ext`, which ties instructions to functions and lines.
//!
//! Owns the byte formats (Linux, Documentation/bpf/btf.rst). Types are numbered from 1 in the order in which they are made; 0 is void.

use crate::fx::FxHashMap;

/// The number of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);

/// A member of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TypeId,
    /// Byte offset.
    pub offset: u32,
}

const MAGIC: u16 = 0xeb9f;
const GLOBAL: u32 = 1;
const EXTERN: u32 = 2;

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;

/// Types and strings in the making.
#[derive(Debug)]
pub struct Btf {
    types: Vec<u8>,
    count: u32,
    strings: Vec<u8>,
    known: FxHashMap<String, u32>,
}

impl Default for Btf {
    fn default() -> Self {
        // The empty string is at offset 0.
        Btf { types: Vec::new(), count: 0, strings: vec![0], known: FxHashMap::from_iter([(String::new(), 0)]) }
    }
}

impl Btf {
    /// The offset of a string, which is stored once.
    pub fn string(&mut self, s: &str) -> u32 {
        // A string ends at its first zero byte.
        let s = s.split('\0').next().unwrap_or("");
        if let Some(offset) = self.known.get(s) {
            return *offset;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(s.as_bytes());
        self.strings.push(0);
        self.known.insert(s.into(), offset);
        offset
    }

    fn push(&mut self, name: &str, kind: u32, vlen: usize, size_or_type: u32, tail: &[u32]) -> TypeId {
        let name = self.string(name);
        let head = [name, kind << 24 | vlen as u32, size_or_type];
        self.types.extend(head.iter().chain(tail).flat_map(|word| word.to_le_bytes()));
        self.count += 1;
        TypeId(self.count)
    }

    /// An integer of so many bytes.
    pub fn int(&mut self, name: &str, size: u32, signed: bool) -> TypeId {
        self.push(name, INT, 0, size, &[(u32::from(signed) << 24) | (size * 8)])
    }

    /// `n` elements.
    pub fn array(&mut self, element: TypeId, index: TypeId, n: u32) -> TypeId {
        self.push("", ARRAY, 0, 0, &[element.0, index.0, n])
    }

    /// A pointer.
    pub fn pointer(&mut self, to: TypeId) -> TypeId {
        self.push("", PTR, 0, to.0, &[])
    }

    /// A structure.
    pub fn structure(&mut self, name: &str, size: u32, members: &[Field]) -> TypeId {
        let tail: Vec<u32> = members.iter().flat_map(|m| [self.string(&m.name), m.ty.0, m.offset * 8]).collect();
        self.push(name, STRUCT, members.len(), size, &tail)
    }

    /// A global function with named parameters.
    pub fn function(&mut self, name: &str, result: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let prototype = self.prototype(result, params);
        self.push(name, FUNC, GLOBAL as usize, prototype.0, &[])
    }

    /// A global function whose parameters are pointers that are never none; Linux 6.8 and later believe it, and hold callers to it.
    pub fn function_of_some(&mut self, name: &str, result: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let function = self.function(name, result, params);
        for position in 0..params.len() as u32 {
            self.push("arg:nonnull", DECL_TAG, 0, function.0, &[position]);
        }
        function
    }

    /// A function of the kernel's with named parameters.
    pub fn external_function(&mut self, name: &str, result: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let prototype = self.prototype(result, params);
        self.push(name, FUNC, EXTERN as usize, prototype.0, &[])
    }

    /// A function's type without its name.
    pub fn prototype(&mut self, result: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let tail: Vec<u32> = params.iter().flat_map(|(name, ty)| [self.string(name), ty.0]).collect();
        self.push("", FUNC_PROTO, params.len(), result.0, &tail)
    }

    /// A global variable.
    pub fn variable(&mut self, name: &str, ty: TypeId) -> TypeId {
        self.push(name, VAR, 0, ty.0, &[GLOBAL])
    }

    /// A section with its variables: type, offset, size; in the order of their offsets.
    pub fn section(&mut self, name: &str, size: u32, variables: &[(TypeId, u32, u32)]) -> TypeId {
        let tail: Vec<u32> = variables.iter().flat_map(|(ty, offset, size)| [ty.0, *offset, *size]).collect();
        self.push(name, DATASEC, variables.len(), size, &tail)
    }

    /// The content of the section `.BTF`.
    pub fn finish(self) -> Vec<u8> {
        let types = self.types.len() as u32;
        let mut bytes = header(24, &[0, types, types, self.strings.len() as u32]);
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }
}

fn header(len: u32, words: &[u32]) -> Vec<u8> {
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    // Version 1, no flags.
    bytes.extend([1, 0]);
    bytes.extend(std::iter::once(&len).chain(words).flat_map(|word| word.to_le_bytes()));
    bytes
}

/// A place in the spec for the code from an instruction on. Lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// Byte offset of the instruction in its section.
    pub insn_bytes: u32,
    /// String offset of the file's name.
    pub file: u32,
    /// String offset of the line's text.
    pub text: u32,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// A use of a member of one of the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberUse {
    /// Byte offset of the instruction in its section.
    pub insn_bytes: u32,
    /// The object's copy of the structure.
    pub structure: TypeId,
    /// String offset of the way to the member.
    pub path: u32,
}

/// What `.BTF.ext` says of one code section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeInfo {
    /// String offset of the section's name.
    pub section: u32,
    /// The functions by the byte offsets of their first instructions.
    pub functions: Vec<(u32, TypeId)>,
    /// The lines. Each function's first instruction needs one.
    pub lines: Vec<LineInfo>,
    /// The members, by their instructions.
    pub members: Vec<MemberUse>,
}

/// The content of the section `.BTF.ext`.
pub fn ext(sections: &[CodeInfo]) -> Vec<u8> {
    // The kernel packs both into one word, 22 and 10 bits.
    const LINE_MAX: u32 = (1 << 22) - 1;
    const COLUMN_MAX: u32 = (1 << 10) - 1;
    /// Relocation by the byte offset of a field.
    const FIELD_BYTE_OFFSET: u32 = 0;
    let functions = part(sections, |info| info.functions.iter().map(|(at, ty)| [*at, ty.0]).collect());
    let lines = part(sections, |info| {
        let place = |l: &LineInfo| l.line.min(LINE_MAX) << 10 | l.column.min(COLUMN_MAX);
        info.lines.iter().map(|l| [l.insn_bytes, l.file, l.text, place(l)]).collect()
    });
    let members = part(sections, |info| {
        info.members.iter().map(|m| [m.insn_bytes, m.structure.0, m.path, FIELD_BYTE_OFFSET]).collect()
    });
    let [functions_len, lines_len, members_len] = [&functions, &lines, &members].map(|words| 4 * words.len() as u32);
    // Offsets count from the header's end.
    let (lines_at, members_at) = (functions_len, functions_len + lines_len);
    let mut bytes = header(32, &[0, functions_len, lines_at, lines_len, members_at, members_len]);
    bytes.extend(functions.iter().chain(&lines).chain(&members).flat_map(|word| word.to_le_bytes()));
    bytes
}

/// One kind of records, by section; nothing at all where there are none.
fn part<const N: usize>(sections: &[CodeInfo], records: impl Fn(&CodeInfo) -> Vec<[u32; N]>) -> Vec<u32> {
    let mut words = Vec::new();
    for info in sections {
        let records = records(info);
        if !records.is_empty() {
            if words.is_empty() {
                words.push(4 * N as u32);
            }
            words.extend([info.section, records.len() as u32]);
            words.extend(records.into_iter().flatten());
        }
    }
    words
}
