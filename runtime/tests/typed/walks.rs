// Made by trav: the types of traversals' arguments and answers. trav_runtime::typed says what they can do.

::trav_runtime::record! {
    /// What `chase` is called with.
    pub struct chase_arguments {
        pub start: u64,
    }
}

::trav_runtime::walk! {
    /// The traversal `chase`.
    pub enum chase(chase_arguments) -> u64 = "chase(start: u64) -> u64"
}

::trav_runtime::record! {
    /// What `named` is called with.
    pub struct named_arguments {
        pub start: u64,
        pub name: ::trav_runtime::typed::Bytes<9>,
        pub tag: [u8; 3],
        pub take: bool,
    }
}

::trav_runtime::number! {
    /// `Kind`.
    pub struct Kind(u8) { end = 0, inner = 1, r#type = 2 }
}

::trav_runtime::number! {
    /// `Marks`.
    pub struct Marks(u16) { first = 1, last = 32768 }
}

::trav_runtime::record! {
    /// The record `Inner`.
    pub struct Inner {
        pub kind: Kind,
        pub marks: Marks,
        pub low: i16,
    }
}

::trav_runtime::record! {
    /// The record `Entry`.
    pub struct Entry {
        pub at: u64,
        pub inner: Inner,
        pub name: ::trav_runtime::typed::Bytes<9>,
        pub tag: [u8; 3],
    }
}

::trav_runtime::walk! {
    /// The traversal `named`.
    pub enum named(named_arguments) -> ::core::option::Option<Entry> = "named(start: u64, name: bytes up to 9, tag: bytes<3>, take: bool) -> record Entry { at: u64, inner: record Inner { kind: enum Kind: 8 { end = 0, inner = 1, type = 2 }, marks: flags Marks: 16 { first = 1, last = 32768 }, low: i16 }, name: bytes up to 9, tag: bytes<3> }?"
}

::trav_runtime::record! {
    /// What `following` is called with.
    pub struct following_arguments {
        pub entry: Entry,
    }
}

::trav_runtime::walk! {
    /// The traversal `following`.
    pub enum following(following_arguments) -> u64 = "following(entry: record Entry { at: u64, inner: record Inner { kind: enum Kind: 8 { end = 0, inner = 1, type = 2 }, marks: flags Marks: 16 { first = 1, last = 32768 }, low: i16 }, name: bytes up to 9, tag: bytes<3> }) -> u64"
}

::trav_runtime::record! {
    /// What `nodes` is called with.
    pub struct nodes_arguments {
        pub start: u64,
    }
}

::trav_runtime::walk! {
    /// The traversal `nodes`, which gives rows.
    pub enum nodes(nodes_arguments) -> Inner = "nodes(start: u64) -> stream record Inner { kind: enum Kind: 8 { end = 0, inner = 1, type = 2 }, marks: flags Marks: 16 { first = 1, last = 32768 }, low: i16 }"
}
