//! Types and declarations after resolution: what the names of a program mean.
//!
//! [`Ty`] is the type of a value in a walk; [`FieldTy`] is how something is stored on disk. Expressions stay syntax: lowering types and
//! emits them in one pass, in the scope that the declaration names.

use crate::ir::schema::{Display, Schema};
use crate::source::Span;
use crate::syntax::ast;
use std::collections::HashMap;
use std::sync::Arc;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $name {
            /// Position in its table.
            pub fn index(self) -> usize { self.0 as usize }
        }
    )*};
}

ids! {
    /// A module.
    ModuleId;
    /// A constant.
    ConstId;
    /// An `enum`.
    EnumId;
    /// A `flags` type.
    FlagsId;
    /// A `struct`.
    StructId;
    /// A `record`.
    RecordId;
    /// A `fn`.
    FnId;
    /// A `traversal`.
    TraversalId;
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntTy {
    /// 1 to 64.
    pub bits: u8,
    /// Two's complement.
    pub signed: bool,
    /// How it is shown.
    pub display: Display,
}

impl IntTy {
    /// `u64`
    pub const U64: IntTy = IntTy { bits: 64, signed: false, display: Display::Plain };

    /// A plain integer type.
    pub const fn plain(bits: u8, signed: bool) -> Self {
        IntTy { bits, signed, display: Display::Plain }
    }

    /// The numbers it holds.
    pub fn range(self) -> crate::ir::Range {
        if self.signed {
            crate::ir::Range::new(-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1)
        } else {
            crate::ir::Range::new(0, (1i128 << self.bits) - 1)
        }
    }

    /// The smallest whole-byte type that holds `range`, if 64 bits do.
    pub fn holding(range: crate::ir::Range) -> Option<IntTy> {
        let signed = range.lo < 0;
        (1..=8u8).map(|n| IntTy::plain(n * 8, signed)).find(|t| t.range().contains(range))
    }
}

impl std::fmt::Display for IntTy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.signed { 'i' } else { 'u' }, self.bits)
    }
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ty {
    /// Nothing.
    Unit,
    /// An integer.
    Int(IntTy),
    /// True or false.
    Bool,
    /// A named number.
    Enum(EnumId),
    /// A set of named bits.
    Flags(FlagsId),
    /// Bytes: exactly or at most `max`.
    Bytes {
        /// How many.
        max: u32,
        /// Exactly.
        fixed: bool,
        /// How they are shown.
        display: Display,
    },
    /// Bytes or text of any length that stands in a block: a `fn`'s parameter only.
    AnyBytes,
    /// A view of a structure.
    View(StructId),
    /// A record.
    Record(RecordId),
    /// Something or nothing.
    Option(Box<Ty>),
    /// Rows.
    Stream(Box<Ty>),
    /// A local byte string of at most this length.
    Buffer(u32),
    /// Stands for a type that had an error; fits everything and says nothing more.
    Error,
}

/// What a stored word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A number.
    Int(IntTy),
    /// One byte, 0 or 1.
    Bool,
    /// An `enum`.
    Enum(EnumId),
    /// A `flags` type.
    Flags(FlagsId),
}

/// How variable-length integers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VarintKind {
    /// Seven bits a byte, least first, top bit set on all but the last (LEB128, protobuf).
    Leb128,
    /// LEB128 of `(n << 1) ^ (n >> 63)`.
    Zigzag,
    /// Seven bits a byte, greatest first, the ninth byte whole (SQLite file format, section 1.6).
    Sqlite,
    /// Seven bits a byte, greatest first (MIDI, Git's pack without its offset).
    Vlq,
}

/// How something is stored.
#[derive(Clone, Debug)]
pub enum FieldTy {
    /// A word.
    Scalar {
        /// What it is.
        scalar: Scalar,
        /// Bytes on disk.
        width: u8,
        /// Byte order.
        endian: crate::ir::Endian,
    },
    /// So many bytes.
    Bytes(ast::Expr, Display),
    /// All bytes up to the structure's end.
    BytesToEnd,
    /// Room for so many bytes, of which those before the first zero count.
    CStr(ast::Expr),
    /// So many UTF-16 code units.
    Utf16(ast::Expr, crate::ir::Endian),
    /// A variable-length integer.
    Varint(VarintKind),
    /// A structure, with the arguments of its parameters.
    Struct(StructId, Vec<ast::Expr>),
    /// So many of one type.
    Array(Box<FieldTy>, ast::Expr),
    /// As many as there is room for.
    ArrayToEnd(Box<FieldTy>),
    /// Self-sized structures in a row, to the end or so many.
    Seq(Box<FieldTy>, Option<ast::Expr>),
    /// One of several, by a tag.
    Match {
        /// The tag.
        tag: ast::Expr,
        /// In order.
        arms: Vec<FieldArm>,
    },
    /// A number that names a place.
    Pointer {
        /// The number.
        repr: Box<FieldTy>,
        /// What stands there.
        target: Box<FieldTy>,
        /// By how much it is multiplied.
        scale: Option<ast::Expr>,
    },
    /// Had an error.
    Error,
}

/// An arm of [`FieldTy::Match`].
#[derive(Clone, Debug)]
pub struct FieldArm {
    /// Its patterns; empty for `else`.
    pub patterns: Vec<ast::Expr>,
    /// What it holds.
    pub ty: FieldTy,
    /// How the source writes it, for messages.
    pub label: String,
}

/// Where a stored member begins.
#[derive(Clone, Debug)]
pub enum Offset {
    /// At a constant from the structure's start.
    Fixed(u32),
    /// Where the stored member with this index ends, rounded up to a multiple of `align`.
    After {
        /// The member before.
        member: usize,
        /// 1 where nothing is said.
        align: u32,
    },
    /// At a computed place from the structure's start (`@end - 48`, `@stored_offset`).
    Computed(ast::Expr),
}

/// A member of a structure.
#[derive(Clone, Debug)]
pub struct MemberDef {
    /// Its name; `_` for padding.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// `where`.
    pub cond: Option<ast::Expr>,
    /// Its doc comment.
    pub doc: String,
    /// The whole member.
    pub span: Span,
}

/// The kinds of member.
#[derive(Clone, Debug)]
pub enum MemberKind {
    /// On disk.
    Stored {
        /// Where.
        offset: Offset,
        /// How.
        ty: FieldTy,
        /// `= VALUE`.
        magic: Option<ast::Expr>,
    },
    /// Bits of a stored member.
    Bits {
        /// The word's member.
        word: usize,
        /// From which bit.
        shift: u8,
        /// How many.
        width: u8,
        /// What they are.
        scalar: Scalar,
        /// `= VALUE`.
        magic: Option<ast::Expr>,
    },
    /// Not on disk.
    Computed {
        /// Its type, where given.
        ty: Option<Ty>,
        /// What it is.
        value: ast::Expr,
    },
    /// A condition alone (in [`MemberDef::cond`]).
    Condition,
}

/// How much room a structure takes.
#[derive(Clone, Debug)]
pub enum SizeRule {
    /// Always so much.
    Const(u32),
    /// As its `size` says.
    Declared(ast::Expr),
    /// Up to the end of its last stored member.
    LastMember,
}

/// A structure.
#[derive(Clone, Debug)]
pub struct StructDef {
    /// Its module.
    pub module: ModuleId,
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub params: Vec<(String, Ty)>,
    /// Its members in order.
    pub members: Vec<MemberDef>,
    /// Members by name.
    pub by_name: HashMap<String, usize>,
    /// Its methods.
    pub methods: HashMap<String, FnId>,
    /// Its size.
    pub size: SizeRule,
    /// The bytes from its start that its fixed members take: at least so many are there in every view.
    pub fixed_bytes: u32,
    /// The least size of an instance.
    pub least_bytes: u32,
    /// The whole declaration.
    pub span: Span,
    /// Its doc comment.
    pub doc: String,
}

/// A record.
#[derive(Clone, Debug)]
pub struct RecordDef {
    /// Its module.
    pub module: ModuleId,
    /// Its name.
    pub name: String,
    /// Its fields, with their conditions.
    pub fields: Vec<(String, Ty, Option<ast::Expr>)>,
    /// Its methods.
    pub methods: HashMap<String, FnId>,
    /// The whole declaration.
    pub span: Span,
}

/// An `enum` or a `flags` type.
#[derive(Clone, Debug)]
pub struct NamedBits {
    /// Its name.
    pub name: String,
    /// Bits on disk.
    pub bits: u8,
    /// Byte order of its representation, where the name says one.
    pub endian: Option<crate::ir::Endian>,
    /// Names and values, in order.
    pub items: Vec<(String, u64)>,
    /// The whole declaration.
    pub span: Span,
}

/// The value of a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstValue {
    /// A number.
    Int(i128),
    /// True or false.
    Bool(bool),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A table of numbers.
    Table(Vec<i128>),
    /// Had an error.
    Error,
}

/// A constant.
#[derive(Clone, Debug)]
pub struct ConstDef {
    /// Its module.
    pub module: ModuleId,
    /// Its name.
    pub name: String,
    /// The element type of a table, or the number's type, where given.
    pub ty: Option<IntTy>,
    /// Its syntax.
    pub syntax: Arc<ast::Const>,
    /// Its value, once asked for.
    pub value: std::sync::OnceLock<ConstValue>,
}

/// A `fn` or a method.
#[derive(Clone, Debug)]
pub struct FnDef {
    /// Its module.
    pub module: ModuleId,
    /// The structure or record that it is a method of.
    pub of: Option<Ty>,
    /// Its parameters (without `self`).
    pub params: Vec<(String, Ty)>,
    /// What it gives back.
    pub result: Ty,
    /// Its syntax.
    pub syntax: Arc<ast::Fn>,
}

/// A `traversal`.
#[derive(Clone, Debug)]
pub struct TraversalDef {
    /// Its module.
    pub module: ModuleId,
    /// Its parameters.
    pub params: Vec<(String, Ty)>,
    /// The traversal that fills a parameter, by position.
    pub defaults: Vec<Option<TraversalId>>,
    /// What it gives back; a row's type for a stream.
    pub result: Ty,
    /// Whether it gives rows.
    pub stream: bool,
    /// Its syntax.
    pub syntax: Arc<ast::Traversal>,
}

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Def {
    /// A constant.
    Const(ConstId),
    /// An `enum`.
    Enum(EnumId),
    /// A `flags` type.
    Flags(FlagsId),
    /// A `struct`.
    Struct(StructId),
    /// A `record`.
    Record(RecordId),
    /// A `fn`.
    Fn(FnId),
    /// A `traversal`.
    Traversal(TraversalId),
    /// A source, by its first [`crate::ir::SourceId`] and how many there are (`None`: not an array).
    Source(u32, Option<u32>),
    /// A module taken over whole.
    Module(ModuleId),
}

/// A module's names.
#[derive(Clone, Debug, Default)]
pub struct ModuleDef {
    /// Its own and imported names, with where they are declared.
    pub names: HashMap<String, (Def, Span)>,
    /// The path by which it was asked for; empty for the root.
    pub path: Vec<String>,
}

/// All declarations of a compilation.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "one table for each kind of id")]
pub struct Program {
    pub modules: Vec<ModuleDef>,
    pub consts: Vec<ConstDef>,
    pub enums: Vec<NamedBits>,
    pub flags: Vec<NamedBits>,
    pub structs: Vec<StructDef>,
    pub records: Vec<RecordDef>,
    pub fns: Vec<FnDef>,
    pub traversals: Vec<TraversalDef>,
    /// Names of the sources; the first is `image`.
    pub sources: Vec<String>,
}

impl Program {
    /// What callers call a traversal: one of the root module by its name, others with their module's path before it.
    pub fn traversal_name(&self, id: TraversalId) -> String {
        let def = &self.traversals[id.index()];
        let path = &self.modules[def.module.index()].path;
        path.iter().chain([&def.syntax.name.name]).map(String::as_str).collect::<Vec<_>>().join(".")
    }

    /// The schema of a type, for callers; `None` for types that cannot leave a walk.
    pub fn schema(&self, ty: &Ty) -> Option<Schema> {
        let named = |d: &NamedBits| (d.name.clone(), d.bits, d.items.clone());
        Some(match ty {
            Ty::Unit => Schema::Unit,
            Ty::Int(i) => Schema::Int { bits: i.bits, signed: i.signed, display: i.display },
            Ty::Bool => Schema::Bool,
            Ty::Enum(e) => {
                let (name, bits, items) = named(&self.enums[e.index()]);
                Schema::Enum { name, bits, items }
            }
            Ty::Flags(e) => {
                let (name, bits, items) = named(&self.flags[e.index()]);
                Schema::Flags { name, bits, items }
            }
            Ty::Bytes { max, fixed, display } => Schema::Bytes { max: *max, fixed: *fixed, display: *display },
            Ty::Record(r) => {
                let def = &self.records[r.index()];
                let fields = def.fields.iter().map(|(n, t, _)| Some((n.clone(), self.schema(t)?)));
                Schema::Record { name: def.name.clone(), fields: fields.collect::<Option<_>>()? }
            }
            Ty::Option(inner) => Schema::Option(Box::new(self.schema(inner)?)),
            Ty::Buffer(n) => Schema::Bytes { max: *n, fixed: false, display: Display::Plain },
            Ty::AnyBytes | Ty::View(_) | Ty::Stream(_) | Ty::Error => return None,
        })
    }

    /// How messages write a type.
    pub fn describe(&self, ty: &Ty) -> String {
        match ty {
            Ty::Unit => "nothing".into(),
            Ty::Int(i) => i.to_string(),
            Ty::Bool => "bool".into(),
            Ty::Enum(e) => self.enums[e.index()].name.clone(),
            Ty::Flags(e) => self.flags[e.index()].name.clone(),
            Ty::Bytes { max, fixed: true, .. } => format!("bytes<{max}>"),
            Ty::Bytes { max, .. } => format!("bytes up to {max}"),
            Ty::AnyBytes => "bytes".into(),
            Ty::View(s) => format!("a view of {}", self.structs[s.index()].name),
            Ty::Record(r) => self.records[r.index()].name.clone(),
            Ty::Option(inner) => format!("{}?", self.describe(inner)),
            Ty::Stream(inner) => format!("stream {}", self.describe(inner)),
            Ty::Buffer(n) => format!("buffer<{n}>"),
            Ty::Error => "a type with an error".into(),
        }
    }
}
