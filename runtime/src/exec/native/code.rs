//! Executable memory and the calls into it: the only `unsafe` of the native executor.
//!
//! The argument for all of it: [`Code`] is compiled from a [`Verified`] function, whose every access is in bounds of its region, and
//! [`Caller`] checks that the regions handed over (arguments, result, images) have the sizes that the function was verified
//! for. The values of the arguments are checked by the generated code before anything else.

#![allow(unsafe_code, reason = "runs generated machine code")]

use super::lower;
use super::status::Variant;
use crate::exec::{Effort, ExecError, Hop};
use crate::image::Sources;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context as Compilation, isa::OwnedTargetIsa, isa::TargetIsa};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, default_libcall_names};
use std::ffi::c_void;
use std::ops::Range;
use std::sync::{Mutex, OnceLock};
use trav_compiler::ir::verify::Verified;
use trav_compiler::ir::{NoVarint, SourceId, Varint};

/// What the generated code and its caller share during a call. The code finds the fields by [`std::mem::offset_of`].
#[repr(C)]
pub(super) struct Context {
    /// Hops made, the failing one included.
    pub hops: u64,
    /// The sum of their lengths.
    pub bytes: u64,
    /// The value found, if the status says so.
    pub found: u64,
    /// The offset in the disk block, if the status says so.
    pub at: u64,
    /// The number of the varint that the host decoded last.
    pub number: u64,
    /// Whether a read that lies on its image failed; the host has the reason.
    pub unread: u64,
    /// The [`Host`]; only the callbacks look at it.
    host: *mut c_void,
}

impl Context {
    /// Of no call.
    pub fn new() -> Self {
        Context { hops: 0, bytes: 0, found: 0, at: 0, number: 0, unread: 0, host: std::ptr::null_mut() }
    }
}

/// The head of a lane of a batch: a walk that can be stopped. Behind it lie the words that a point carries, then the slots.
#[repr(C)]
pub(super) struct Lane {
    pub context: Context,
    /// The point at which the walk goes on: 0 is its begin.
    pub resume: u64,
    /// How it ended: a [`Status`](super::status::Status), when it rests.
    pub status: u64,
    /// Its regions.
    pub args: *const u8,
    pub out: *mut u8,
    /// Address of the current disk block.
    pub disk: u64,
    /// What the walk will look at when it goes on: the address of a byte, and how many bytes from there, if they may be on more than one
    /// line. In the variant that reads: the offset in its source.
    pub wanted: u64,
    pub wanted_bytes: u64,
    /// The source, in the variant that reads.
    pub source: u64,
}

impl Lane {
    /// The point of a walk that has ended.
    pub const RESTING: u64 = u64::MAX;
}

/// An image as the generated code sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Address of the first byte; 0 for an image that is not in memory.
    pub base: usize,
    /// Bytes; below 2^63.
    pub len: u64,
}

/// What the callbacks need.
struct Host<'a, 'i> {
    row: &'a mut dyn FnMut(&[u8]),
    row_size: usize,
    reads: Option<&'a mut Reads<'i>>,
}

/// For the full variant: where hops are noted and images are read.
pub(super) struct Reads<'a> {
    /// The images that the views were made of.
    pub images: &'a Sources,
    /// The hops in order, if wanted.
    pub hops: Option<&'a mut Vec<Hop>>,
    /// The current block of an image that is not in memory.
    pub block: Vec<u8>,
    /// The reason when the status is [`Status::Io`](super::status::Status::Io).
    pub error: Option<std::io::Error>,
}

impl<'a> Reads<'a> {
    /// Without notes.
    pub fn new(images: &'a Sources) -> Self {
        Reads { images, hops: None, block: Vec::new(), error: None }
    }
}

/// Calls of one walk, one after another: what they have in common is checked once, so that a call costs little beside its hops.
pub(super) struct Caller<'c> {
    walk: Walk,
    is_full: bool,
    args_size: usize,
    /// How the code sees the images; whoever made them keeps the images.
    views: &'c [View],
    /// Has the size of the result. Receives the result or row.
    out: Box<[u8]>,
    /// What the last call left.
    pub context: Context,
}

impl Caller<'_> {
    /// Runs one walk and gives its [`Status`](super::status::Status). `args` is laid out by the function's argument leaves; `row` receives each row;
    /// `reads` is for the full variant.
    #[inline(always)]
    pub fn call(
        &mut self,
        args: &[u8],
        row: &mut dyn FnMut(&[u8]),
        reads: Option<&mut Reads<'_>>,
    ) -> Result<u64, ExecError> {
        if args.len() != self.args_size {
            return Err(wrong_size(self.args_size, args));
        }
        assert_eq!(reads.is_some(), self.is_full, "the full variant reads by callbacks");
        let mut host = Host { row, row_size: self.out.len(), reads };
        let host_pointer: *mut Host<'_, '_> = &mut host;
        self.context.host = host_pointer.cast();
        // SAFETY: see the file's head. The code lives as long as this (`Code::caller`). The four regions are valid for the call and have the sizes
        // that the code was made for, the two writable ones are exclusively borrowed, and the views' bytes are kept alive by the images of
        // [`super::Bound`] or of the caller.
        Ok(unsafe { (self.walk)(&mut self.context, self.views.as_ptr(), args.as_ptr(), self.out.as_mut_ptr()) })
    }

    /// The result of the last call, laid out by the function's result schema.
    pub fn result(&self) -> &[u8] {
        &self.out
    }

    /// The same, when no more calls are made.
    pub fn into_result(self) -> Vec<u8> {
        self.out.into()
    }
}

#[cold]
fn wrong_size(size: usize, args: &[u8]) -> ExecError {
    ExecError::Arguments(format!("expected {size} bytes of arguments, found {}", args.len()))
}

/// Runs one walk.
type Walk = unsafe extern "C" fn(*mut Context, *const View, *const u8, *mut u8) -> u64;
/// Runs the lanes between two addresses that wait at a point.
type Turn = unsafe extern "C" fn(*mut u64, *const View, *mut u64, u64) -> u64;

#[derive(Clone, Copy)]
enum Entry {
    Walk(Walk),
    Turn(Turn),
}

/// The machine code of one traversal.
pub(super) struct Code {
    /// Owns the memory. Behind a mutex only to be shareable: nobody locks it before drop.
    module: Mutex<Option<JITModule>>,
    entry: Entry,
    /// The constant tables: the code holds their addresses.
    _data: Vec<Box<[u8]>>,
    variant: Variant,
    /// Words of a lane, for variants that have them.
    lane_words: usize,
    args_size: usize,
    out_size: usize,
    sources: usize,
}

impl Code {
    /// Compiles one variant of a function.
    pub fn compile(f: &Verified, variant: Variant, effort: Effort) -> Result<Code, ExecError> {
        let isa = isa(effort)?;
        let data: Vec<Box<[u8]>> = f.data.iter().map(|d| d.bytes.clone().into()).collect();
        let (mut compilation, lane_words) = build(f, variant, &data, &**isa)?;
        let mut module = JITModule::new(JITBuilder::with_isa(isa.clone(), default_libcall_names()));
        let signature = compilation.func.signature.clone();
        let id = module.declare_function("walk", Linkage::Local, &signature).map_err(refused)?;
        module.define_function(id, &mut compilation).map_err(refused)?;
        module.finalize_definitions().map_err(refused)?;
        let pointer = module.get_finalized_function(id);
        // SAFETY: the function was built with exactly this signature, four words and one back, and the C calling convention
        // (`lower::signature`); what the words mean follows from the variant.
        let entry = unsafe {
            match variant {
                Variant::Fast | Variant::Far | Variant::Full => {
                    Entry::Walk(std::mem::transmute::<*const u8, Walk>(pointer))
                }
                Variant::Batch | Variant::Reads => Entry::Turn(std::mem::transmute::<*const u8, Turn>(pointer)),
            }
        };
        Ok(Code {
            module: Mutex::new(Some(module)),
            entry,
            _data: data,
            variant,
            lane_words,
            args_size: args_size(f),
            out_size: f.out_size() as usize,
            sources: f.sources.len(),
        })
    }

    /// For calls of a variant that walks one after another. It lives no longer than the code, whose memory is freed with it.
    pub fn caller<'c>(&'c self, views: &'c [View]) -> Caller<'c> {
        let Entry::Walk(walk) = self.entry else { unreachable!("a batch's code is not called so") };
        assert!(views.len() >= self.sources, "each source has an image");
        let (is_full, out) = (self.variant == Variant::Full, vec![0; self.out_size].into());
        Caller { walk, is_full, args_size: self.args_size, views, out, context: Context::new() }
    }
}

/// The lanes of a batch with their regions. Only this file writes what the code relies on: the regions' addresses, the points
/// and what they carry.
pub(super) struct Row {
    words: Vec<u64>,
    args: Vec<u8>,
    outs: Vec<u8>,
    lane_words: usize,
    args_size: usize,
    out_size: usize,
}

/// Where a walk of the variant that reads has stopped.
pub(super) enum Stop {
    /// At its end: the lane rests.
    Ended,
    /// At a hop, for bytes that lie on its source.
    Hop(Hop),
}

impl Row {
    /// So many lanes (at least one), all resting.
    pub fn new(code: &Code, lanes: usize) -> Row {
        let Code { lane_words, args_size, out_size, .. } = *code;
        let [args, outs] = [args_size, out_size].map(|size| vec![0; lanes * size]);
        let mut row = Row { words: vec![0; lanes * lane_words], args, outs, lane_words, args_size, out_size };
        for i in 0..lanes {
            row.lane(i).resume = Lane::RESTING;
        }
        row
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.len() / self.lane_words
    }

    /// The head of a lane.
    #[inline]
    pub fn lane(&mut self, i: usize) -> &mut Lane {
        head(&mut self.words[i * self.lane_words..][..self.lane_words])
    }

    /// Begins a walk in a lane.
    fn begin(&mut self, i: usize, args: &[u8]) {
        self.args[i * self.args_size..][..self.args_size].copy_from_slice(args);
        // SAFETY: both lie inside: there are as many arguments and results as lanes, and neither moves while the row lives.
        let (args, out) =
            unsafe { (self.args.as_ptr().add(i * self.args_size), self.outs.as_mut_ptr().add(i * self.out_size)) };
        let context = Context::new();
        let [resume, status, disk, wanted, wanted_bytes, source] = [0; 6];
        *self.lane(i) = Lane { context, resume, status, args, out, disk, wanted, wanted_bytes, source };
    }

    /// The arguments of the walk in a lane.
    pub fn args(&self, i: usize) -> &[u8] {
        &self.args[i * self.args_size..][..self.args_size]
    }

    /// The result of a lane that rests.
    pub fn result(&self, i: usize) -> &[u8] {
        &self.outs[i * self.out_size..][..self.out_size]
    }
}

impl Code {
    /// Bytes of the laid out arguments.
    pub fn args_size(&self) -> usize {
        self.args_size
    }

    /// Runs walks side by side up to their ends: lane `i` takes the `i`th arguments, which lie one after another, at most as many as
    /// there are lanes.
    pub fn run(&self, row: &mut Row, views: &[View], args: &[u8]) {
        assert_eq!(self.variant, Variant::Batch, "only a batch's code is run so");
        let turn = self.turn_of(row, views);
        let count = args.len().checked_div(self.args_size).unwrap_or(row.len()).min(row.len());
        for i in 0..count {
            row.begin(i, &args[i * self.args_size..][..self.args_size]);
        }
        // Two halves take turns: what one has asked for arrives while the other one runs.
        let halves = [0..count / 2, count / 2..count];
        let mut points = halves.clone().map(|half| if half.is_empty() { Lane::RESTING } else { 0 });
        while points != [Lane::RESTING; 2] {
            for (half, point) in halves.iter().zip(&mut points) {
                if *point != Lane::RESTING {
                    *point = self.turn(turn, row, views, half.clone(), *point);
                }
            }
        }
    }

    /// Begins a walk in a lane, in the variant that reads, and runs it up to its first stop.
    pub fn start(&self, row: &mut Row, views: &[View], i: usize, args: &[u8]) -> Stop {
        row.begin(i, args);
        self.go_on(row, views, i, &[])
    }

    /// Goes on with the walk in a lane, which has stopped at a hop; its bytes.
    pub fn go_on(&self, row: &mut Row, views: &[View], i: usize, block: &[u8]) -> Stop {
        assert_eq!(self.variant, Variant::Reads, "only walks that stop at their hops go on so");
        let turn = self.turn_of(row, views);
        let lane = row.lane(i);
        assert!(block.len() as u64 >= lane.wanted_bytes, "a block has the length that its hop asked for");
        lane.disk = block.as_ptr().expose_provenance() as u64;
        let point = lane.resume;
        let lanes = row.words[i * self.lane_words..][..self.lane_words].as_mut_ptr_range();
        // SAFETY: as in `turn`; the block lives through the call, and up to its next point the code looks at no other.
        unsafe { turn(lanes.start, views.as_ptr(), lanes.end, point) };
        let lane = row.lane(i);
        if lane.resume == Lane::RESTING {
            return Stop::Ended;
        }
        Stop::Hop(Hop { source: SourceId(lane.source as u32), offset: lane.wanted, len: lane.wanted_bytes })
    }

    /// The function that runs lanes, which a row and views were made for.
    fn turn_of(&self, row: &Row, views: &[View]) -> Turn {
        let Entry::Turn(turn) = self.entry else { unreachable!("a variant with lanes has a function for them") };
        assert!(views.len() >= self.sources, "each source has an image");
        let sizes = |lane_words, args_size, out_size| [lane_words, args_size, out_size];
        let own = sizes(self.lane_words, self.args_size, self.out_size);
        assert_eq!(sizes(row.lane_words, row.args_size, row.out_size), own, "the row was made for this code");
        turn
    }

    /// Runs the lanes of a range that wait at a point up to their next one, asks for what they will look at there, and gives the point
    /// of those that are least far. For these the others wait, so that walks meet again behind a loop.
    #[inline]
    fn turn(&self, turn: Turn, row: &mut Row, views: &[View], range: Range<usize>, point: u64) -> u64 {
        let words = &mut row.words[range.start * self.lane_words..range.end * self.lane_words];
        let lanes = words.as_mut_ptr_range();
        // SAFETY: see the file's head: the function is verified; each lane has its own regions, which live as long as the call of `run`,
        // and its head says where; points and carried values are the code's own, and nobody else uses the lanes during a turn.
        unsafe { turn(lanes.start, views.as_ptr(), lanes.end, point) };
        let mut least = Lane::RESTING;
        for lane in words.chunks_exact_mut(self.lane_words) {
            let lane = head(lane);
            least = least.min(lane.resume);
            fetch(lane);
        }
        least
    }
}

/// The head of the lane that has these words.
#[inline]
fn head(lane: &mut [u64]) -> &mut Lane {
    let words = &mut lane[..size_of::<Lane>() / 8];
    // SAFETY: a lane begins with its head, made of words for which every value is a good one.
    unsafe { &mut *words.as_mut_ptr().cast::<Lane>() }
}

/// Bytes of a cache line.
const LINE_BYTES: u64 = 64;

/// Asks once for what a walk will look at. A single line goes to the first-level cache, and blocks to the second: those of a whole row do
/// not fit into the first, of which only a dozen lines can be on their way at once.
#[inline]
fn fetch(lane: &mut Lane) {
    if lane.wanted_bytes <= LINE_BYTES {
        return fetch_line::<true>(lane.wanted);
    }
    for at in (0..std::mem::take(&mut lane.wanted_bytes)).step_by(LINE_BYTES as usize) {
        fetch_line::<false>(lane.wanted + at);
    }
}

#[inline]
fn fetch_line<const IS_SINGLE: bool>(address: u64) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let address = std::ptr::without_provenance(address as usize);
        // SAFETY: to fetch ahead is no access, whatever the address.
        unsafe { if IS_SINGLE { _mm_prefetch::<_MM_HINT_T0>(address) } else { _mm_prefetch::<_MM_HINT_T1>(address) } }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

impl Drop for Code {
    fn drop(&mut self) {
        let module = self.module.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(module) = module {
            // SAFETY: `entry` is private and called only through `&self`, so no call is running and none can follow.
            unsafe { module.free_memory() }
        }
    }
}

/// Bytes of the laid out arguments.
fn args_size(f: &Verified) -> usize {
    f.args.iter().map(|leaf| leaf.kind.size() as usize).sum()
}

/// The callbacks' addresses, for the generated code.
pub(super) struct Callbacks;

impl Callbacks {
    /// `(context, source, offset, len) -> address`: counts and notes a hop and gives its bytes; 0 if they do not lie on the
    /// image or, if [`Context::unread`] says so, cannot be read.
    pub fn read() -> usize {
        read as *const () as usize
    }
    /// `(context, out)`: a row is complete.
    pub fn row() -> usize {
        row as *const () as usize
    }
    /// `(context, kind, from, room) -> size`: decodes a varint of [`Varint::ALL`] from at most so many bytes, the number into
    /// [`Context::number`]. Its size, or why there is none: [`CUT`](Self::CUT), [`WIDE`](Self::WIDE).
    pub fn varint() -> usize {
        varint as *const () as usize
    }
    /// The size of a varint whose bytes end before it does.
    pub const CUT: u64 = 0;
    /// The size of one with more than 64 bits.
    pub const WIDE: u64 = 0xff;
    /// `(to, from, len)`: copies bytes.
    pub fn copy() -> usize {
        copy as *const () as usize
    }
    /// `(to, len)`: clears bytes.
    pub fn clear() -> usize {
        clear as *const () as usize
    }
}

/// # Safety
/// `context` is the one that [`Caller::call`] made, and its host is still borrowed by that call alone.
unsafe fn host<'a>(context: *mut Context) -> &'a mut Host<'a, 'a> {
    // SAFETY: by the contract above. The generated code never touches the host, and callbacks do not nest.
    unsafe { &mut *(*context).host.cast::<Host<'a, 'a>>() }
}

unsafe extern "C" fn read(context: *mut Context, source: u64, offset: u64, len: u64) -> *const u8 {
    // SAFETY: called by generated code with the context it was given, which it does not touch meanwhile; the host is no part of it.
    let (host, context) = unsafe { (host(context), &mut *context) };
    context.hops += 1;
    context.bytes = context.bytes.wrapping_add(len);
    let reads = host.reads.as_mut().expect("`Caller::call` has seen that the full variant has this");
    if let Some(hops) = &mut reads.hops {
        hops.push(Hop { source: SourceId(source as u32), offset, len });
    }
    let image = &reads.images.images[source as usize];
    if offset.checked_add(len).is_none_or(|end| end > image.len()) {
        return std::ptr::null();
    }
    let (start, len) = (offset as usize, len as usize);
    if let Some(bytes) = image.bytes() {
        return bytes[start..start + len].as_ptr();
    }
    reads.block.clear();
    let result = match reads.block.try_reserve(len) {
        Ok(()) => {
            reads.block.resize(len, 0);
            image.read_at(offset, &mut reads.block)
        }
        Err(e) => Err(std::io::Error::new(std::io::ErrorKind::OutOfMemory, e)),
    };
    match result {
        Ok(()) => reads.block.as_ptr(),
        Err(e) => {
            reads.error = Some(e);
            context.unread = 1;
            std::ptr::null()
        }
    }
}

unsafe extern "C" fn row(context: *mut Context, out: *const u8) {
    // SAFETY: called by generated code with the context and the result area it was given; the code does not write the area meanwhile.
    let (host, row) = unsafe {
        let host = host(context);
        let size = host.row_size;
        (host, std::slice::from_raw_parts(out, size))
    };
    (host.row)(row);
}

unsafe extern "C" fn varint(context: *mut Context, kind: usize, from: *const u8, room: usize) -> u64 {
    let kind = Varint::ALL[kind];
    // SAFETY: the verifier has shown that the varint begins in its region and that so many bytes behind its begin belong to it; nobody
    // writes them meanwhile. The code does not touch the context during the call.
    let (bytes, number) =
        unsafe { (std::slice::from_raw_parts(from, room.min(kind.most_bytes().into())), &mut (*context).number) };
    match kind.decode(bytes) {
        Ok((decoded, size)) => {
            *number = decoded;
            size.into()
        }
        Err(NoVarint::Cut) => Callbacks::CUT,
        Err(NoVarint::Wide) => Callbacks::WIDE,
    }
}

unsafe extern "C" fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the verifier has shown that both areas hold `len` bytes and are of different regions.
    unsafe { std::ptr::copy_nonoverlapping(from, to, len) }
}

unsafe extern "C" fn clear(to: *mut u8, len: usize) {
    // SAFETY: `to` is a slot or the result, `len` its size.
    unsafe { std::ptr::write_bytes(to, 0, len) }
}

/// The function in Cranelift's terms, and the words of a lane, for variants that have them.
pub(super) fn build(
    f: &Verified,
    variant: Variant,
    data: &[Box<[u8]>],
    isa: &dyn TargetIsa,
) -> Result<(Compilation, usize), ExecError> {
    let mut compilation = Compilation::new();
    let mut scratch = FunctionBuilderContext::new();
    let lane_words = lower::lower(f, variant, data, isa, &mut compilation.func, &mut scratch)?;
    Ok((compilation, lane_words))
}

/// What this machine runs; found once.
pub(super) fn isa(effort: Effort) -> Result<&'static OwnedTargetIsa, ExecError> {
    static ISAS: [OnceLock<Result<OwnedTargetIsa, String>>; 2] = [const { OnceLock::new() }; 2];
    let (isa, opt_level, regalloc) = match effort {
        Effort::Once => (&ISAS[0], "none", "single_pass"),
        Effort::Many => (&ISAS[1], "speed", "backtracking"),
    };
    isa.get_or_init(|| {
        let mut flags = settings::builder();
        let verifier = if cfg!(debug_assertions) { "true" } else { "false" };
        for (name, value) in [
            ("opt_level", opt_level),
            ("regalloc_algorithm", regalloc),
            ("enable_verifier", verifier),
            ("use_colocated_libcalls", "false"),
            ("is_pic", "false"),
            ("unwind_info", "false"),
            // Slots live on the stack; a frame larger than the guard page must touch each page.
            ("enable_probestack", "true"),
            ("probestack_strategy", "inline"),
        ] {
            flags.set(name, value).map_err(|e| e.to_string())?;
        }
        let builder = cranelift_native::builder()?;
        builder.finish(settings::Flags::new(flags)).map_err(|e| e.to_string())
    })
    .as_ref()
    .map_err(|e| ExecError::Refused(format!("no native code for this machine: {e}")))
}

fn refused(e: impl std::fmt::Debug) -> ExecError {
    ExecError::Refused(format!("native code cannot be made: {e:?}"))
}
