//! What an expression becomes while it is lowered: a type together with the SSA values that hold it.
//!
//! A [`Val`] can be taken apart into its SSA values ([`Val::parts`]) and put together again from others ([`Val::with_parts`]);
//! joins, loops and hops carry exactly those.

use crate::check::types::*;
use crate::ir::{Region, Value};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// A typed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    /// Nothing.
    Unit,
    /// The code that would make it is never reached, or had an error that was reported.
    Never,
    /// `none` before it is known of what.
    None,
    /// A number; its SSA type follows from the claim: `U64` where it fits, else `I64`.
    Int(Value, IntTy),
    /// A number that names a structure.
    Pointer(Value, IntTy, Shared<PointerTo>),
    /// True or false.
    Bool(Value),
    /// A named number.
    Enum(Value, EnumId),
    /// A set of named bits.
    Flags(Value, FlagsId),
    /// Bytes that stand somewhere.
    Bytes(Bytes),
    /// A view of a structure.
    View(Shared<View>),
    /// An array or a row of self-sized structures in a view.
    Array(Shared<Array>),
    /// A member that depends on a tag that is not known well enough: what each possible arm makes of it.
    OneOf(Shared<Vec<(String, Val)>>),
    /// A record's fields in order.
    Record(RecordId, Shared<Vec<Val>>),
    /// Something, if `present`.
    Option(Value, Shared<Val>),
    /// A local byte string: its bytes with their present length, and the slot's size.
    Buffer(Bytes),
}

/// What many values hold together, as each branch begins with all that is alive: a copy costs nothing, a change makes it one's own.
#[derive(Debug)]
pub struct Shared<T>(Rc<T>);

impl<T: Clone> Shared<T> {
    /// What it holds.
    pub fn take(self) -> T {
        Rc::unwrap_or_clone(self.0)
    }
}

impl<T> Shared<T> {
    /// Whether both are one, which neither has changed.
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Shared(Rc::new(value))
    }
}

impl<T> FromIterator<T> for Shared<Vec<T>> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Rc::make_mut(&mut self.0)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

/// Where a [`Val::Pointer`] points.
#[derive(Clone, Debug, PartialEq)]
pub struct PointerTo {
    /// The field's type, a [`FieldTy::Pointer`].
    pub ty: FieldTyRef,
    /// The view whose member it is: the scope of its scale.
    pub view: Option<Shared<View>>,
}

/// From where a place's offset counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The region's start.
    Start,
    /// The result of an `Op::Check` of this many bytes.
    Checked(Value, u32),
    /// An offset that no check covers yet.
    Plain(Value),
}

impl Origin {
    /// The value from which it counts.
    pub fn value(self) -> Option<Value> {
        match self {
            Origin::Start => None,
            Origin::Checked(v, _) | Origin::Plain(v) => Some(v),
        }
    }
}

/// A place in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The memory.
    pub region: Region,
    /// Which of the blocks read so far, for the region `Disk`: only the last is still there.
    pub generation: u32,
    /// From where.
    pub origin: Origin,
    /// A variable part, with the most that it can be.
    pub index: Option<(Value, u32)>,
    /// So many bytes further.
    pub disp: u32,
}

/// Bytes at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// Where they begin. Its origin is good for all of them (see [`Bytes::sized`]).
    pub place: Place,
    /// How many.
    pub len: Len,
    /// The most.
    pub max: u32,
    /// How they are shown.
    pub display: crate::ir::schema::Display,
    /// The byte offset in the source of the block that they stand in; none for bytes that stand elsewhere.
    pub block_offset: Option<Value>,
}

/// A length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Len {
    /// Known.
    Const(u32),
    /// At run time.
    Value(Value),
}

/// A view of a structure.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Which of all views that were made: remembered members are kept by it.
    pub id: u32,
    /// The structure.
    pub def: StructId,
    /// Where it begins.
    pub place: Place,
    /// Where it must end, counted from the region's start.
    pub limit: Value,
    /// Whether `limit` is known to lie within the block (the verifier's rule for limits).
    pub limit_evident: bool,
    /// The values of its parameters.
    pub args: Vec<Val>,
    /// The byte offset in the source of the block that it stands in.
    pub block_offset: Value,
    /// Whether its conditions were tested where it can be seen from here; after a join or a hop they hold, but are not known.
    pub tested: bool,
    /// Members kept for use after their block is gone: dotted path and value.
    pub kept: Vec<(String, Val)>,
}

/// An array or `seq` in a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The view whose member it is: the scope of its element's expressions.
    pub view: Option<Shared<View>>,
    /// How an element is stored.
    pub element: FieldTyRef,
    /// Where the first element begins.
    pub place: Place,
    /// How many; `None` for a `seq` to the end.
    pub count: Option<Value>,
    /// Bytes of one element; `None` where each says its own size.
    pub stride: Option<u32>,
    /// Where all elements must end.
    pub limit: Value,
    /// As in [`View`].
    pub limit_evident: bool,
    /// What messages call it: `node.items`.
    pub name: String,
}

/// A declared stored type that compares by identity.
#[derive(Clone, Debug)]
pub struct FieldTyRef {
    /// The type.
    pub ty: Rc<FieldTy>,
    /// The address of its declaration, which lives as long as the lowering.
    pub declared_at: usize,
}

impl FieldTyRef {
    /// Refers to a declared type.
    pub fn new(ty: &FieldTy) -> Self {
        FieldTyRef { ty: Rc::new(ty.clone()), declared_at: std::ptr::from_ref(ty) as usize }
    }
}

impl PartialEq for FieldTyRef {
    fn eq(&self, other: &Self) -> bool {
        self.declared_at == other.declared_at
    }
}

impl Origin {
    fn part(self) -> Option<Value> {
        match self {
            Origin::Start => None,
            Origin::Checked(v, _) | Origin::Plain(v) => Some(v),
        }
    }
}

impl Val {
    /// Its SSA values, in a fixed order.
    pub fn parts(&self) -> Vec<Value> {
        let mut out = Vec::new();
        self.for_each_part(&mut |v| out.push(v));
        out
    }

    /// How many SSA values hold it.
    pub fn part_count(&self) -> usize {
        let mut count = 0;
        self.for_each_part(&mut |_| count += 1);
        count
    }

    /// Calls `f` on its SSA values, in the order of [`Val::map_parts`].
    pub fn for_each_part(&self, f: &mut impl FnMut(Value)) {
        match self {
            Val::Unit | Val::Never | Val::None => {}
            Val::Int(v, _) | Val::Bool(v) | Val::Enum(v, _) | Val::Flags(v, _) => f(*v),
            Val::Pointer(v, _, to) => {
                f(*v);
                to.view.iter().for_each(|view| view.for_each_part(f));
            }
            Val::Bytes(b) | Val::Buffer(b) => b.for_each_part(f),
            Val::View(view) => view.for_each_part(f),
            Val::Array(a) => {
                a.view.iter().for_each(|view| view.for_each_part(f));
                a.place.for_each_part(f);
                a.count.iter().for_each(|v| f(*v));
                f(a.limit);
            }
            Val::OneOf(arms) => arms.iter().for_each(|(_, v)| v.for_each_part(f)),
            Val::Record(_, fields) => fields.iter().for_each(|v| v.for_each_part(f)),
            Val::Option(present, inner) => {
                f(*present);
                inner.for_each_part(f);
            }
        }
    }

    /// The same value held by other SSA values, which come in the order of [`Val::parts`].
    pub fn with_parts(&self, parts: &mut impl Iterator<Item = Value>) -> Val {
        let mut out = self.clone();
        out.map_parts(&mut |_| parts.next().expect("a value comes with all of its parts"));
        out
    }

    /// Replaces each SSA value.
    pub fn map_parts(&mut self, f: &mut impl FnMut(Value) -> Value) {
        match self {
            Val::Unit | Val::Never | Val::None => {}
            Val::Int(v, _) | Val::Bool(v) | Val::Enum(v, _) | Val::Flags(v, _) => *v = f(*v),
            Val::Pointer(v, _, to) => {
                *v = f(*v);
                if let Some(view) = &mut to.view {
                    view.map_parts(f);
                }
            }
            Val::Bytes(b) | Val::Buffer(b) => b.map_parts(f),
            Val::View(view) => view.map_parts(f),
            Val::Array(array) => {
                let a = &mut **array;
                if let Some(view) = &mut a.view {
                    view.map_parts(f);
                }
                a.place.map_parts(f);
                a.count = a.count.map(&mut *f);
                a.limit = f(a.limit);
            }
            Val::OneOf(arms) => arms.iter_mut().for_each(|(_, v)| v.map_parts(f)),
            Val::Record(_, fields) => fields.iter_mut().for_each(|v| v.map_parts(f)),
            Val::Option(present, inner) => {
                *present = f(*present);
                inner.map_parts(f);
            }
        }
    }

    /// Forgets which of its values are results of checks: they became parameters.
    pub fn forget_evidence(&mut self) {
        match self {
            Val::Bytes(b) | Val::Buffer(b) => b.place.forget_evidence(),
            Val::View(view) => view.forget_evidence(),
            Val::Pointer(_, _, to) => {
                if let Some(view) = &mut to.view {
                    view.forget_evidence();
                }
            }
            Val::Array(array) => {
                let a = &mut **array;
                if let Some(view) = &mut a.view {
                    view.forget_evidence();
                }
                a.place.forget_evidence();
                a.limit_evident = false;
            }
            Val::OneOf(arms) => arms.iter_mut().for_each(|(_, v)| v.forget_evidence()),
            Val::Record(_, fields) => fields.iter_mut().for_each(Val::forget_evidence),
            Val::Option(_, inner) => inner.forget_evidence(),
            Val::Unit | Val::Never | Val::None | Val::Int(..) | Val::Bool(_) | Val::Enum(..) | Val::Flags(..) => {}
        }
    }

    /// Whether two values can be held by one: they differ only in their SSA values.
    pub fn same_shape(&self, other: &Val) -> bool {
        match (self, other) {
            (Val::Unit, Val::Unit) | (Val::None, Val::None) | (Val::Never, Val::Never) => true,
            (Val::Int(..), Val::Int(..)) | (Val::Bool(_), Val::Bool(_)) => true,
            (Val::Pointer(_, _, a), Val::Pointer(_, _, b)) => a.ty == b.ty && same_views(&a.view, &b.view),
            (Val::Enum(_, a), Val::Enum(_, b)) => a == b,
            (Val::Flags(_, a), Val::Flags(_, b)) => a == b,
            (Val::Bytes(a), Val::Bytes(b)) | (Val::Buffer(a), Val::Buffer(b)) => a.same_shape(b),
            (Val::View(a), Val::View(b)) => a.same_shape(b),
            (Val::Array(a), Val::Array(b)) => {
                same_views(&a.view, &b.view)
                    && a.element == b.element
                    && a.place.same_shape(&b.place)
                    && a.count.is_some() == b.count.is_some()
            }
            (Val::OneOf(a), Val::OneOf(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| x.0 == y.0 && x.1.same_shape(&y.1))
            }
            (Val::Record(a, x), Val::Record(b, y)) => a == b && x.iter().zip(y.iter()).all(|(x, y)| x.same_shape(y)),
            (Val::Option(_, a), Val::Option(_, b)) => a.same_shape(b),
            _ => false,
        }
    }
}

fn same_views(a: &Option<Shared<View>>, b: &Option<Shared<View>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same_shape(b),
        (None, None) => true,
        _ => false,
    }
}

impl Place {
    /// Replaces each SSA value.
    pub fn map_parts(&mut self, f: &mut impl FnMut(Value) -> Value) {
        self.origin = match self.origin {
            Origin::Start => Origin::Start,
            Origin::Checked(v, n) => Origin::Checked(f(v), n),
            Origin::Plain(v) => Origin::Plain(f(v)),
        };
        self.index = self.index.map(|(v, most)| (f(v), most));
    }

    fn for_each_part(&self, f: &mut impl FnMut(Value)) {
        self.origin.part().iter().for_each(|v| f(*v));
        self.index.iter().for_each(|(v, _)| f(*v));
    }

    fn forget_evidence(&mut self) {
        if let Origin::Checked(v, _) = self.origin {
            self.origin = Origin::Plain(v);
        }
    }

    /// As [`Val::same_shape`].
    pub fn same_shape(&self, other: &Place) -> bool {
        self.region == other.region
            && self.generation == other.generation
            && self.disp == other.disp
            && self.origin.part().is_some() == other.origin.part().is_some()
            && self.index.map(|i| i.1) == other.index.map(|i| i.1)
    }

    /// The place `n` bytes further.
    pub fn plus(self, n: u32) -> Place {
        Place { disp: self.disp.saturating_add(n), ..self }
    }
}

impl Bytes {
    fn for_each_part(&self, f: &mut impl FnMut(Value)) {
        self.place.for_each_part(f);
        if let Len::Value(v) = self.len {
            f(v);
        }
        self.block_offset.iter().for_each(|v| f(*v));
    }

    fn map_parts(&mut self, f: &mut impl FnMut(Value) -> Value) {
        self.place.map_parts(f);
        if let Len::Value(v) = self.len {
            self.len = Len::Value(f(v));
        }
        self.block_offset = self.block_offset.map(f);
    }

    fn same_shape(&self, other: &Bytes) -> bool {
        self.place.same_shape(&other.place)
            && self.block_offset.is_some() == other.block_offset.is_some()
            && (self.len == other.len || matches!((self.len, other.len), (Len::Value(_), Len::Value(_))))
    }
}

impl View {
    fn for_each_part(&self, f: &mut impl FnMut(Value)) {
        self.place.for_each_part(f);
        f(self.limit);
        self.args.iter().for_each(|a| a.for_each_part(f));
        f(self.block_offset);
        self.kept.iter().for_each(|(_, v)| v.for_each_part(f));
    }

    fn forget_evidence(&mut self) {
        self.place.forget_evidence();
        self.limit_evident = false;
        self.tested = false;
        self.args.iter_mut().for_each(Val::forget_evidence);
        self.kept.iter_mut().for_each(|(_, v)| v.forget_evidence());
    }

    fn map_parts(&mut self, f: &mut impl FnMut(Value) -> Value) {
        self.place.map_parts(f);
        self.limit = f(self.limit);
        self.args.iter_mut().for_each(|a| a.map_parts(f));
        self.block_offset = f(self.block_offset);
        self.kept.iter_mut().for_each(|(_, v)| v.map_parts(f));
    }

    fn same_shape(&self, other: &Shared<View>) -> bool {
        self.def == other.def
            && self.place.same_shape(&other.place)
            && self.args.len() == other.args.len()
            && self.args.iter().zip(&other.args).all(|(a, b)| a.same_shape(b))
            && self.kept.len() == other.kept.len()
            && self.kept.iter().zip(&other.kept).all(|(a, b)| a.0 == b.0 && a.1.same_shape(&b.1))
    }
}
