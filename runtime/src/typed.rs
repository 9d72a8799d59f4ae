//! Arguments and answers as Rust types.
//!
//! `trav build --emit types` writes a module of the types that a spec's traversals take and give, by the macros [`record!`](crate::record),
//! [`number!`](crate::number) and [`walk!`](crate::walk). A [`Walk`] is what [`Hook::lookup`](crate::hook::Hook::lookup) is asked for.
//! Values are laid out as all executors want them ([`trav_compiler::ir::schema`]), without allocation.

use std::fmt;
use std::ops::Deref;
use trav_compiler::rust::signature;

/// A type of arguments, results or rows.
pub trait Value: Sized {
    /// Bytes that it takes, a multiple of 8.
    const SIZE: usize;
    /// Lays the value out at the start of `to`, which is all zero and not shorter than [`SIZE`](Self::SIZE).
    fn put(&self, to: &mut [u8]);
    /// The value that is laid out at the start of `from`, whatever stands there.
    fn take(from: &[u8]) -> Self;
}

/// A traversal.
pub trait Walk {
    /// Its name, and the types of its arguments and its answer as the compiler writes them.
    const SIGNATURE: &'static str;
    /// What it is called with.
    type Arguments: Value;
    /// Its result; of a stream, a row.
    type Answer: Value;
}

/// Whether a walk is this traversal.
pub(crate) fn is_of<W: Walk>(f: &trav_compiler::ir::Function) -> bool {
    signature(f) == W::SIGNATURE
}

fn word(from: &[u8]) -> u64 {
    u64::from_ne_bytes(from[..8].try_into().expect("eight bytes"))
}

macro_rules! integers {
    ($($int:ty as $word:ty),*) => {
        $(impl Value for $int {
            const SIZE: usize = 8;
            #[inline]
            fn put(&self, to: &mut [u8]) {
                to[..8].copy_from_slice(&<$word>::from(*self).to_ne_bytes());
            }
            #[inline]
            fn take(from: &[u8]) -> Self {
                word(from) as $int
            }
        })*
    };
}

integers!(u8 as u64, u16 as u64, u32 as u64, u64 as u64, i8 as i64, i16 as i64, i32 as i64, i64 as i64);

impl Value for bool {
    const SIZE: usize = 8;
    #[inline]
    fn put(&self, to: &mut [u8]) {
        u64::from(*self).put(to);
    }
    #[inline]
    fn take(from: &[u8]) -> Self {
        word(from) != 0
    }
}

impl Value for () {
    const SIZE: usize = 0;
    fn put(&self, _: &mut [u8]) {}
    fn take(_: &[u8]) -> Self {}
}

impl<T: Value> Value for Option<T> {
    const SIZE: usize = 8 + T::SIZE;
    fn put(&self, to: &mut [u8]) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(&mut to[8..]);
        }
    }
    fn take(from: &[u8]) -> Self {
        bool::take(from).then(|| T::take(&from[8..]))
    }
}

impl<const N: usize> Value for [u8; N] {
    const SIZE: usize = 8 + N.next_multiple_of(8);
    fn put(&self, to: &mut [u8]) {
        (N as u64).put(to);
        to[8..8 + N].copy_from_slice(self);
    }
    fn take(from: &[u8]) -> Self {
        from[8..8 + N].try_into().expect("so many bytes")
    }
}

/// At most `N` bytes.
#[derive(Clone, Copy)]
pub struct Bytes<const N: usize> {
    len: usize,
    bytes: [u8; N],
}

impl<const N: usize> Bytes<N> {
    /// Takes the bytes, if they are not too many.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut all = [0; N];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Bytes { len: bytes.len(), bytes: all })
    }
}

impl<const N: usize> Deref for Bytes<N> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> PartialEq for Bytes<N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Bytes<N> {}

/// As `b"…"`.
impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl<const N: usize> Value for Bytes<N> {
    const SIZE: usize = 8 + N.next_multiple_of(8);
    fn put(&self, to: &mut [u8]) {
        (self.len as u64).put(to);
        to[8..8 + self.len].copy_from_slice(self);
    }
    fn take(from: &[u8]) -> Self {
        let len = usize::try_from(word(from)).unwrap_or(N).min(N);
        let mut bytes = [0; N];
        bytes[..len].copy_from_slice(&from[8..8 + len]);
        Bytes { len, bytes }
    }
}

/// A structure that is a [`Value`]: its members stand one behind the other.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $name { $($(#[$field_meta])* $field_vis $field: $ty),* }

        impl $crate::typed::Value for $name {
            const SIZE: usize = 0 $(+ <$ty as $crate::typed::Value>::SIZE)*;
            #[inline]
            #[allow(unused_variables, unused_mut, unused_assignments)]
            fn put(&self, to: &mut [u8]) {
                let mut at = 0;
                $($crate::typed::Value::put(&self.$field, &mut to[at..]);
                at += <$ty as $crate::typed::Value>::SIZE;)*
            }
            #[inline]
            #[allow(unused_variables, unused_mut, unused_assignments)]
            fn take(from: &[u8]) -> Self {
                let mut at = 0;
                $(let $field = <$ty as $crate::typed::Value>::take(&from[at..]);
                at += <$ty as $crate::typed::Value>::SIZE;)*
                $name { $($field),* }
            }
        }
    };
}

/// A number some of whose values have names (an enum), or its bits (flags).
#[macro_export]
macro_rules! number {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($ty:ty) { $($item:ident = $n:literal),* $(,)? }) => {
        $(#[$meta])*
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        $vis struct $name(pub $ty);

        #[allow(non_upper_case_globals, dead_code, missing_docs)]
        impl $name {
            $(pub const $item: $name = $name($n);)*
        }

        impl $crate::typed::Value for $name {
            const SIZE: usize = 8;
            #[inline]
            fn put(&self, to: &mut [u8]) {
                $crate::typed::Value::put(&self.0, to);
            }
            #[inline]
            fn take(from: &[u8]) -> Self {
                $name($crate::typed::Value::take(from))
            }
        }
    };
}

/// A type that stands for a traversal.
#[macro_export]
macro_rules! walk {
    ($(#[$meta:meta])* $vis:vis enum $name:ident($arguments:ty) -> $answer:ty = $signature:literal) => {
        $(#[$meta])*
        #[allow(non_camel_case_types)]
        $vis enum $name {}

        impl $crate::typed::Walk for $name {
            const SIGNATURE: &'static str = $signature;
            type Arguments = $arguments;
            type Answer = $answer;
        }
    };
}
