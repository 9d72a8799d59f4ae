//! Maps and sets with a fast hash, for keys that the compiler numbers itself: values, blocks, operations. Keys that a spec's author
//! chooses stay with std's maps, for which no colliding keys can be made.

use rustc_hash::FxBuildHasher;

/// A map of such keys.
pub type FxHashMap<K, V> = std::collections::HashMap<K, V, FxBuildHasher>;
/// A set of them.
pub type FxHashSet<K> = std::collections::HashSet<K, FxBuildHasher>;
