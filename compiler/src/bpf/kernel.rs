//! What programs use of the kernel: its functions (kfuncs), helpers and structures, with what a loader must know of them.
//!
//! Functions are called by name; a loader finds them in the kernel's BTF and compares the kinds of their parameters, not the names of
//! structures. Members of structures are found by name, so that their places may differ from kernel to kernel (CO-RE). The offsets
//! here are those of the object's own, partial copies of the structures, and count only until the object is loaded.

use super::btf::{Btf, Field, TypeId};
use super::describe::Scalars;
use super::insn::Width;

/// The number of the helper `bpf_get_current_task_btf` (include/uapi/linux/bpf.h).
pub const GET_CURRENT_TASK_BTF: i32 = 158;
/// The number of the helper `bpf_ktime_get_ns`: the time of CLOCK_MONOTONIC.
pub const KTIME_GET_NS: i32 = 5;
/// The number of the helper `bpf_get_current_pid_tgid`.
pub const GET_CURRENT_PID_TGID: i32 = 14;
/// The number of the helper `bpf_dynptr_read`.
pub const DYNPTR_READ: i32 = 201;

/// Functions of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    /// `int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, struct task_struct *task, u64 addr)`
    VmaNew,
    /// `struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it)`
    VmaNext,
    /// `void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it)`
    VmaDestroy,
    /// `int bpf_dynptr_from_file(struct file *file, u32 flags, struct bpf_dynptr *ptr)`
    FromFile,
    /// `int bpf_dynptr_file_discard(struct bpf_dynptr *ptr)`
    Discard,
    /// `void bpf_rcu_read_lock(void)`
    RcuLock,
    /// `void bpf_rcu_read_unlock(void)`
    RcuUnlock,
    /// `int bpf_io_uring_submit_sqes(struct iou_ctx *ctx, u32 nr)`
    Submit,
    /// `u8 *bpf_io_uring_get_region(struct iou_ctx *ctx, u32 id, const size_t size)`
    Region,
}

/// The type of a parameter or result.
#[derive(Clone, Copy)]
enum Ty {
    Void,
    Int,
    Half,
    Word,
    Bytes,
    Pointer(&'static str),
}

impl Function {
    /// What a program calls to read only what is in the page cache.
    pub const LOOK: [Function; 2] = [Function::RcuLock, Function::RcuUnlock];
    /// What a program calls to find and read a file by itself.
    pub const FILE: [Function; 5] =
        [Function::VmaNew, Function::VmaNext, Function::VmaDestroy, Function::FromFile, Function::Discard];

    /// Its name.
    pub fn name(self) -> &'static str {
        self.signature().0
    }

    fn signature(self) -> (&'static str, Ty, &'static [(&'static str, Ty)]) {
        const IT: (&str, Ty) = ("it", Ty::Pointer("bpf_iter_task_vma"));
        const CTX: (&str, Ty) = ("ctx", Ty::Pointer("iou_ctx"));
        const DYNPTR: (&str, Ty) = ("ptr", Ty::Pointer("bpf_dynptr"));
        match self {
            Function::VmaNew => {
                ("bpf_iter_task_vma_new", Ty::Int, &[IT, ("task", Ty::Pointer("task_struct")), ("addr", Ty::Word)])
            }
            Function::VmaNext => ("bpf_iter_task_vma_next", Ty::Pointer("vm_area_struct"), &[IT]),
            Function::VmaDestroy => ("bpf_iter_task_vma_destroy", Ty::Void, &[IT]),
            Function::FromFile => {
                ("bpf_dynptr_from_file", Ty::Int, &[("file", Ty::Pointer("file")), ("flags", Ty::Half), DYNPTR])
            }
            Function::Discard => ("bpf_dynptr_file_discard", Ty::Int, &[DYNPTR]),
            Function::RcuLock => ("bpf_rcu_read_lock", Ty::Void, &[]),
            Function::RcuUnlock => ("bpf_rcu_read_unlock", Ty::Void, &[]),
            Function::Submit => ("bpf_io_uring_submit_sqes", Ty::Int, &[CTX, ("nr", Ty::Half)]),
            Function::Region => ("bpf_io_uring_get_region", Ty::Bytes, &[CTX, ("id", Ty::Half), ("size", Ty::Word)]),
        }
    }

    /// The function as an external one of the object.
    pub fn btf(self, btf: &mut Btf, scalars: &Scalars) -> TypeId {
        let (name, result, params) = self.signature();
        let mut ty = |ty: Ty| match ty {
            Ty::Void => TypeId(0),
            Ty::Int => scalars.int,
            Ty::Half => scalars.half,
            Ty::Word => scalars.word,
            Ty::Bytes => btf.pointer(scalars.byte),
            Ty::Pointer(to) => {
                let to = btf.structure(to, 0, &[]);
                btf.pointer(to)
            }
        };
        let result = ty(result);
        let params: Vec<(&str, TypeId)> = params.iter().map(|(name, param)| (*name, ty(*param))).collect();
        btf.external_function(name, result, &params)
    }
}

/// Members of the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Member {
    /// `vm_area_struct.vm_file`
    VmaFile,
    /// `file.f_mode`
    FileMode,
    /// `file.f_mapping`
    FileMapping,
    /// `address_space.host`
    MappingHost,
    /// `inode.i_size`
    InodeSize,
    /// `iou_loop_params.cq_wait_idx`
    WaitIndex,
    /// `io_rings.sq.head`
    SqHead,
    /// `io_rings.sq.tail`
    SqTail,
    /// `io_rings.cq.head`
    CqHead,
    /// `io_rings.cq.tail`
    CqTail,
    /// `io_rings.cqes[0].user_data`
    CqeUserData,
    /// `io_rings.cqes[0].res`
    CqeResult,
}

/// The object's own copies of the structures, the same for all members of one. libbpf takes what follows `___` off a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Structure {
    Vma,
    File,
    Mapping,
    Inode,
    Params,
    Rings,
}

impl Member {
    /// Its size.
    pub fn width(self) -> Width {
        match self {
            Member::VmaFile | Member::FileMapping | Member::MappingHost | Member::InodeSize | Member::CqeUserData => {
                Width::B8
            }
            Member::FileMode | Member::WaitIndex | Member::CqeResult => Width::B4,
            Member::SqHead | Member::SqTail | Member::CqHead | Member::CqTail => Width::B4,
        }
    }

    /// Its offset in the object's copy of the structure.
    pub fn offset(self) -> i16 {
        match self {
            Member::VmaFile | Member::FileMapping | Member::MappingHost | Member::InodeSize => 0,
            Member::WaitIndex | Member::SqHead => 0,
            Member::SqTail => 4,
            Member::FileMode | Member::CqHead => 8,
            Member::CqTail => 12,
            Member::CqeUserData => 16,
            Member::CqeResult => 24,
        }
    }

    /// The way to it: the positions of members, from the structure as an array's first element on.
    pub fn path(self) -> &'static str {
        match self {
            Member::VmaFile | Member::FileMapping | Member::MappingHost | Member::InodeSize => "0:0",
            Member::WaitIndex => "0:0",
            Member::FileMode => "0:1",
            Member::SqHead => "0:0:0",
            Member::SqTail => "0:0:1",
            Member::CqHead => "0:1:0",
            Member::CqTail => "0:1:1",
            Member::CqeUserData => "0:2:0:0",
            Member::CqeResult => "0:2:0:1",
        }
    }

    fn structure(self) -> Structure {
        match self {
            Member::VmaFile => Structure::Vma,
            Member::FileMode | Member::FileMapping => Structure::File,
            Member::MappingHost => Structure::Mapping,
            Member::InodeSize => Structure::Inode,
            Member::WaitIndex => Structure::Params,
            Member::SqHead | Member::SqTail | Member::CqHead | Member::CqTail => Structure::Rings,
            Member::CqeUserData | Member::CqeResult => Structure::Rings,
        }
    }
}

/// The copies that an object has.
#[derive(Debug, Default)]
pub struct Structures {
    made: Vec<(&'static str, TypeId)>,
}

impl Structures {
    /// The copy of the structure that has the member.
    pub fn of(&mut self, member: Member, btf: &mut Btf, scalars: &Scalars) -> TypeId {
        let structure = member.structure();
        let name = structure.name();
        if let Some((_, ty)) = self.made.iter().find(|(made, _)| *made == name) {
            return *ty;
        }
        let ty = structure.btf(btf, scalars);
        self.made.push((name, ty));
        ty
    }
}

impl Structure {
    fn name(self) -> &'static str {
        match self {
            Structure::Vma => "vm_area_struct___trav",
            Structure::File => "file___trav",
            Structure::Mapping => "address_space___trav",
            Structure::Inode => "inode___trav",
            Structure::Params => "iou_loop_params___trav",
            Structure::Rings => "io_rings___trav",
        }
    }

    fn btf(self, btf: &mut Btf, scalars: &Scalars) -> TypeId {
        let field = |name: &str, ty: TypeId, offset: u32| Field { name: name.into(), ty, offset };
        let pointer = btf.pointer(TypeId(0));
        let (size, fields) = match self {
            Structure::Vma => (8, vec![field("vm_file", pointer, 0)]),
            Structure::File => (16, vec![field("f_mapping", pointer, 0), field("f_mode", scalars.half, 8)]),
            Structure::Mapping => (8, vec![field("host", pointer, 0)]),
            Structure::Inode => (8, vec![field("i_size", scalars.signed, 0)]),
            Structure::Params => (4, vec![field("cq_wait_idx", scalars.half, 0)]),
            Structure::Rings => {
                let ring = [field("head", scalars.half, 0), field("tail", scalars.half, 4)];
                let ring = btf.structure("io_uring___trav", 8, &ring);
                let cqe = [field("user_data", scalars.word, 0), field("res", scalars.int, 8)];
                let cqe = btf.structure("io_uring_cqe___trav", 16, &cqe);
                let cqes = btf.array(cqe, scalars.int, 0);
                (16, vec![field("sq", ring, 0), field("cq", ring, 8), field("cqes", cqes, 16)])
            }
        };
        btf.structure(self.name(), size, &fields)
    }
}
