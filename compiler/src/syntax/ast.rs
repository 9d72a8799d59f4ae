//! The syntax tree: what a `.trav` file says, before any name is looked up.
//!
//! Made by [`super::parse`] alone. Every node that an error could point at carries its span. Nothing here knows a type.

mod expr;

use crate::source::{FileId, Span};
pub use expr::*;
use std::sync::Arc;

/// A name with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// A file.
#[derive(Clone, Debug)]
pub struct Module {
    /// The file.
    pub file: FileId,
    /// The `//!` lines, joined, without the marks.
    pub doc: String,
    /// `use` declarations.
    pub uses: Vec<Use>,
    /// Everything else, in order. What is long is shared with the program.
    pub items: Vec<Item>,
}

/// `use std.ext4.{Superblock, Inode};` or `use std.ext4;`
#[derive(Clone, Debug)]
pub struct Use {
    /// `std`, `ext4`.
    pub path: Vec<Ident>,
    /// The names taken over; none for the module as a whole (then its last path part is the prefix).
    pub names: Option<Vec<Ident>>,
    /// Where it stands.
    pub span: Span,
}

/// A declaration.
#[derive(Clone, Debug)]
pub enum Item {
    /// `const FANOUT = 31;`
    Const(Arc<Const>),
    /// `enum Kind: u64 { … }`
    Enum(Enum),
    /// `flags Feature: u32 { … }`
    Flags(Flags),
    /// `struct Node size 512 { … }`
    Struct(Struct),
    /// `record Extent { … }`
    Record(Record),
    /// `fn address(p: u64) -> u64 { … }`
    Fn(Arc<Fn>),
    /// `traversal get(key: u64) -> … { … }`
    Traversal(Arc<Traversal>),
    /// `source device[16];`
    Source(Source),
    /// `test "…" on "…" { … }`
    Test(Test),
}

/// `const NAME[: TYPE] = EXPR;` The value may be an array literal (a table).
#[derive(Clone, Debug)]
pub struct Const {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// Its type, where given.
    pub ty: Option<Type>,
    /// Its value.
    pub value: Expr,
    /// The whole declaration.
    pub span: Span,
}

/// `enum NAME: REPR { A = 0, … }`
#[derive(Clone, Debug)]
pub struct Enum {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// The integer type that holds it.
    pub repr: Type,
    /// Its items.
    pub items: Vec<EnumItem>,
    /// The whole declaration.
    pub span: Span,
}

/// `Leaf = 1`
#[derive(Clone, Debug)]
pub struct EnumItem {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// Its value (for flags: its mask).
    pub value: Expr,
}

/// `flags NAME: REPR { extents = 1 << 6, … }`
#[derive(Clone, Debug)]
pub struct Flags {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// The integer type that holds it.
    pub repr: Type,
    /// Its bits.
    pub items: Vec<EnumItem>,
    /// The whole declaration.
    pub span: Span,
}

/// `struct NAME(params) [big|little] [size EXPR] { members }`
#[derive(Clone, Debug)]
pub struct Struct {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// `(space: u32)`
    pub params: Vec<Param>,
    /// `big` or `little`; none where nothing is said.
    pub order: Option<ByteOrder>,
    /// `size EXPR`
    pub size: Option<Expr>,
    /// In order.
    pub members: Vec<Member>,
    /// The whole declaration.
    pub span: Span,
}

/// Byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least byte first.
    Little,
    /// Greatest byte first.
    Big,
}

/// What stands in a struct's braces.
#[derive(Clone, Debug)]
pub enum Member {
    /// `[@AT] name: TYPE [= MAGIC] [where COND],`
    Field(Field),
    /// `let name = EXPR,`
    Let(LetMember),
    /// `align 8,`
    Align(Expr),
    /// `bits u16 [from high] { level: 4, _: 12 }`
    Bits(Bits),
    /// `where COND,` by itself: over all fields.
    Where(Expr),
    /// A method.
    Fn(Arc<Fn>),
}

/// A field on disk.
#[derive(Clone, Debug)]
pub struct Field {
    /// The `///` lines before it.
    pub doc: String,
    /// `@0x38`; `@end - 48` counts from the end (see [`ExprKind::End`]).
    pub at: Option<Expr>,
    /// Its name; `_` for padding.
    pub name: Ident,
    /// Its type.
    pub ty: Type,
    /// `= 0xEF53`
    pub magic: Option<Expr>,
    /// `where COND`
    pub cond: Option<Expr>,
    /// The whole member.
    pub span: Span,
}

/// A computed field.
#[derive(Clone, Debug)]
pub struct LetMember {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// Its declared type, where given.
    pub ty: Option<Type>,
    /// What it is.
    pub value: Expr,
    /// `where COND`
    pub cond: Option<Expr>,
    /// The whole member.
    pub span: Span,
}

/// A word cut into bit fields.
#[derive(Clone, Debug)]
pub struct Bits {
    /// `@0x38`
    pub at: Option<Expr>,
    /// The integer type of the word.
    pub repr: Type,
    /// The first field has the highest bits.
    pub from_high: bool,
    /// In order; `_` for bits without a name.
    pub fields: Vec<BitField>,
    /// The whole member.
    pub span: Span,
}

/// `level: 4`, `kind: 4 as Kind`
#[derive(Clone, Debug)]
pub struct BitField {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// How many bits.
    pub width: Expr,
    /// An enum or flags type.
    pub ty: Option<Type>,
    /// `= VALUE`
    pub magic: Option<Expr>,
    /// `where COND`
    pub cond: Option<Expr>,
}

/// A parameter of a struct, fn or traversal.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub ty: Type,
    /// `= open()` (traversals only).
    pub default: Option<Expr>,
}

/// `record NAME { name: TYPE [where COND], … }`, with methods.
#[derive(Clone, Debug)]
pub struct Record {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// Its fields ([`Field::at`] and [`Field::magic`] are none).
    pub fields: Vec<Field>,
    /// Its methods.
    pub fns: Vec<Arc<Fn>>,
    /// The whole declaration.
    pub span: Span,
}

/// `fn NAME(params) -> TYPE { … }`
#[derive(Clone, Debug)]
pub struct Fn {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// Its parameters.
    pub params: Vec<Param>,
    /// What it gives back.
    pub result: Type,
    /// Its body.
    pub body: BlockExpr,
    /// The whole declaration.
    pub span: Span,
}

/// `traversal NAME(params) [-> TYPE] { … }`
#[derive(Clone, Debug)]
pub struct Traversal {
    /// The `///` lines before it.
    pub doc: String,
    /// Its name.
    pub name: Ident,
    /// Its parameters.
    pub params: Vec<Param>,
    /// What it gives back ([`TypeKind::Stream`] at the root for rows).
    pub result: Option<Type>,
    /// Its body.
    pub body: BlockExpr,
    /// The whole declaration.
    pub span: Span,
}

/// `source journal;`, `source device[16];`
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub name: Ident,
    /// How many.
    pub count: Option<Expr>,
    /// The whole declaration.
    pub span: Span,
}

/// `test "name" on "image" { … }`; its statements may be [`StmtKind::Assert`].
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// The image's file name.
    pub image: String,
    /// Its body.
    pub body: BlockExpr,
    /// The whole declaration.
    pub span: Span,
}

/// A type as written.
#[derive(Clone, Debug)]
pub struct Type {
    /// What it is.
    pub kind: TypeKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of a type.
#[derive(Clone, Debug)]
pub enum TypeKind {
    /// `u32`, `u16be`, `bool`, `uuid`, `time32`, `Node`, `std.ext4.Inode`, `ExtentNode(60)`
    Named {
        /// The parts between dots.
        path: Vec<Ident>,
        /// Arguments of a struct with parameters.
        args: Vec<Expr>,
    },
    /// `bytes<16>`, `bytes[len]`: so many bytes.
    Bytes(Box<Expr>),
    /// `bytes<to end>`
    BytesToEnd,
    /// `bytes up to 64` (parameters and records)
    BytesUpTo(Box<Expr>),
    /// `cstr<16>`: up to the first zero byte.
    CStr(Box<Expr>),
    /// `utf16<11>`: code units.
    Utf16(Box<Expr>),
    /// `varint<leb128>`
    Varint(Ident),
    /// `buffer<64>` (locals)
    Buffer(Box<Expr>),
    /// `[T; N]`
    Array(Box<Type>, Box<Expr>),
    /// `[T; to end]`
    ArrayToEnd(Box<Type>),
    /// `seq T to end`
    SeqToEnd(Box<Type>),
    /// `seq T count N`
    SeqCount(Box<Type>, Box<Expr>),
    /// `match TAG { PATTERNS => TYPE, … }`
    Match {
        /// The tag.
        tag: Box<Expr>,
        /// In order.
        arms: Vec<TypeArm>,
    },
    /// `u32 -> Page * 4096`: a stored number that names a structure at `scale` × its value.
    Pointer {
        /// The stored integer.
        repr: Box<Type>,
        /// The structure.
        target: Box<Type>,
        /// 1 where nothing is said.
        scale: Option<Box<Expr>>,
    },
    /// `T?`
    Optional(Box<Type>),
    /// `stream T`
    Stream(Box<Type>),
}

/// `Kind.Leaf => Leaf`, `1 | 2 => …`, `else => bytes<to end>`
#[derive(Clone, Debug)]
pub struct TypeArm {
    /// The patterns; empty for `else`.
    pub patterns: Vec<Expr>,
    /// The type.
    pub ty: Type,
    /// The whole arm.
    pub span: Span,
}
