// Made by trav: the types of traversals' arguments and answers. trav_runtime::typed says what they can do.

::trav_runtime::record! {
    /// What `sum` is called with.
    pub struct sum_arguments {
        pub start: u64,
    }
}

::trav_runtime::record! {
    /// The record `Sum`.
    pub struct Sum {
        pub blocks: u8,
        pub sum: u64,
    }
}

::trav_runtime::walk! {
    /// The traversal `sum`.
    pub enum sum(sum_arguments) -> Sum = "sum(start: u64) -> record Sum { blocks: u8, sum: u64 }"
}

::trav_runtime::record! {
    /// What `each` is called with.
    pub struct each_arguments {
        pub start: u64,
    }
}

::trav_runtime::walk! {
    /// The traversal `each`, which gives rows.
    pub enum each(each_arguments) -> u32 = "each(start: u64) -> stream u32"
}

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
    /// What `circle` is called with.
    pub struct circle_arguments {
        pub start: u64,
        pub turns: u32,
    }
}

::trav_runtime::walk! {
    /// The traversal `circle`.
    pub enum circle(circle_arguments) -> u64 = "circle(start: u64, turns: u32) -> u64"
}
