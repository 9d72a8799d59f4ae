//! The families of queries, one module a format.

mod btrfs;
mod erofs;
mod exfat;
mod ext;
mod fat;
mod iso;
mod lmdb;
mod nested;
mod partition;
mod qcow2;
mod romfs;
mod sqlite;
mod squashfs;
mod sst;
mod volumes;
mod xfs;

use crate::query::{Failure, Query, Reply};
use crate::session::Session;
use trav_runtime::call::Images;

/// Who answers the queries with one prefix.
struct Family {
    /// What stands before the dot: `ext`.
    prefix: &'static str,
    /// Answers one query on its image; [`Failure::Unsupported`] for a name that it does not know.
    answer: fn(&mut Session<'_>, &Query) -> Reply,
}

/// Images that walks run on instead of a query's, and where their members but the first begin.
pub type Instead = Option<(Images, Vec<u64>)>;

const FAMILIES: &[Family] = &[
    Family { prefix: "btrfs", answer: btrfs::answer },
    Family { prefix: "erofs", answer: erofs::answer },
    Family { prefix: "exfat", answer: exfat::answer },
    Family { prefix: "ext", answer: ext::answer },
    Family { prefix: "fat", answer: fat::answer },
    Family { prefix: "gpt", answer: partition::answer_gpt },
    Family { prefix: "iso", answer: iso::answer },
    Family { prefix: "lmdb", answer: lmdb::answer },
    Family { prefix: "luks", answer: volumes::answer_luks },
    Family { prefix: "lvm", answer: volumes::answer_lvm },
    Family { prefix: "mbr", answer: partition::answer_mbr },
    Family { prefix: "nested", answer: nested::answer },
    Family { prefix: "qcow2", answer: qcow2::answer },
    Family { prefix: "romfs", answer: romfs::answer },
    Family { prefix: "sqlite", answer: sqlite::answer },
    Family { prefix: "squashfs", answer: squashfs::answer },
    Family { prefix: "sst", answer: sst::answer },
    Family { prefix: "swap", answer: volumes::answer_swap },
    Family { prefix: "xfs", answer: xfs::answer },
];

/// What walks of a family need instead of an image as it is: the image with what it has compressed, unpacked.
pub fn instead(session: &mut Session<'_>, query: &Query) -> Instead {
    match query.prefix() {
        "squashfs" => squashfs::unpacked(session),
        _ => None,
    }
}

/// Answers a query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    let family = FAMILIES.iter().find(|f| f.prefix == query.prefix()).ok_or(Failure::Unsupported)?;
    (family.answer)(session, query)
}
