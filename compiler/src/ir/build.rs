//! Makes functions, one operation after another. Used by lowering and by tests.
//!
//! Each operation gets the claim that follows from its operands ([`range::of`]). The builder assumes that its caller keeps the
//! rules; the verifier finds out whether it did.

use super::defs::{Def, Defs};
use super::eval::range;
use super::schema::{Leaf, LeafKind, Schema};
use super::*;

/// A function in the making. Operations go to the end of the current block.
#[derive(Clone, Debug)]
pub struct FunctionBuilder {
    function: Function,
    defs: Defs,
    /// For each block whether its terminator has been set.
    ended: Vec<bool>,
    current: Block,
    span: Span,
}

impl FunctionBuilder {
    /// A function with nothing but an open entry block, which is the current one, and the source `image`.
    pub fn new(name: impl Into<String>) -> Self {
        let function = Function {
            name: name.into(),
            params: Vec::new(),
            args: Vec::new(),
            result: Schema::Unit,
            stream: false,
            sources: vec!["image".into()],
            values: Vec::new(),
            blocks: Vec::new(),
            slots: Vec::new(),
            data: Vec::new(),
            faults: Vec::new(),
            obligations: Vec::new(),
            evidence: Default::default(),
            span: Span::default(),
        };
        let mut builder = FunctionBuilder {
            function,
            defs: Defs::default(),
            ended: Vec::new(),
            current: Block(0),
            span: Span::default(),
        };
        builder.new_block(None);
        builder
    }

    /// The finished function.
    ///
    /// # Panics
    /// When a block has no terminator.
    pub fn finish(self) -> Function {
        if let Some(i) = self.ended.iter().position(|ended| !ended) {
            panic!("every block is ended before the function is finished, but b{i} of {} is not", self.function.name);
        }
        self.function
    }

    /// The function as far as it has come.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// The function as far as it has come, to set its tables.
    pub fn function_mut(&mut self) -> &mut Function {
        &mut self.function
    }

    /// Ends all blocks that are still open: those that nothing reaches.
    pub fn end_open_blocks(&mut self) {
        self.ended.fill(true);
    }

    /// Undoes a branch between two blocks that hold operations only: both are emptied into the block that branches, which is open again.
    pub fn fold_branch(&mut self, block: Block, then: Block, other: Block) {
        self.ended[block.index()] = false;
        self.function.blocks[block.index()].term = Terminator::Return;
        for from in [then, other] {
            for inst in std::mem::take(&mut self.function.blocks[from.index()].insts) {
                if let Some(v) = inst.result {
                    self.defs.set(v, Def::Inst(block, self.function.blocks[block.index()].insts.len()));
                }
                self.function.blocks[block.index()].insts.push(inst);
            }
        }
    }

    /// What makes each value made so far.
    pub fn defs(&self) -> &Defs {
        &self.defs
    }

    // The function's tables.

    /// Adds a parameter; the positions of its leaves, for [`Op::Arg`] and [`Region::Arg`].
    pub fn param(&mut self, name: &str, schema: Schema, default: Option<String>) -> std::ops::Range<u32> {
        let first = self.function.args.len() as u32;
        let start = self.function.args.last().map_or(0, |leaf| leaf.offset + leaf.kind.size());
        self.function.args.extend(schema.leaves(name, start));
        self.function.params.push(Param { name: name.into(), schema, default });
        first..self.function.args.len() as u32
    }

    /// Sets what the function returns, or a row's type.
    pub fn set_result(&mut self, result: Schema, stream: bool) {
        self.function.result = result;
        self.function.stream = stream;
    }

    /// The leaves of the result with their offsets in [`Region::Out`].
    pub fn result_leaves(&self) -> Vec<Leaf> {
        self.function.result.leaves("", 0)
    }

    /// Adds a source.
    pub fn source(&mut self, name: &str) -> SourceId {
        SourceId(push(&mut self.function.sources, name.into()))
    }

    /// Adds a local area of so many bytes.
    pub fn slot(&mut self, name: &str, size: u32) -> Slot {
        Slot(push(&mut self.function.slots, SlotData { name: name.into(), size }))
    }

    /// Adds constant bytes.
    pub fn data(&mut self, name: &str, bytes: &[u8]) -> DataId {
        DataId(push(&mut self.function.data, Data { name: name.into(), bytes: bytes.into() }))
    }

    /// Adds an entry to the fault table, at the current span.
    pub fn fault(&mut self, kind: FaultKind, message: impl Into<String>, found_as: FoundAs) -> FaultId {
        FaultId(push(&mut self.function.faults, Fault { kind, message: message.into(), found_as, span: self.span }))
    }

    /// Adds an obligation at the current span; its position, for [`FunctionBuilder::prove`].
    pub fn obligation(&mut self, kind: ObligationKind, text: impl Into<String>, operands: &[Value]) -> u32 {
        let obligation =
            Obligation { kind, span: self.span, text: text.into(), operands: operands.into(), tested: None };
        push(&mut self.function.obligations, obligation)
    }

    /// Sets the place of the declaration.
    pub fn set_function_span(&mut self, span: Span) {
        self.function.span = span;
    }

    /// Sets the place in the spec of all that is made from here on.
    pub fn set_span(&mut self, span: Span) {
        self.span = span;
    }

    /// The place in the spec of what is made now.
    pub fn span(&self) -> Span {
        self.span
    }

    // Values.

    /// What is known of a value.
    pub fn value(&self, v: Value) -> &ValueData {
        self.function.value(v)
    }

    /// The number, when the claim leaves only one.
    pub fn as_const(&self, v: Value) -> Option<i128> {
        self.value(v).range.as_const()
    }

    /// Says what the user would call a value.
    pub fn set_name(&mut self, v: Value, name: impl Into<String>) {
        self.function.values[v.index()].name = Some(name.into());
    }

    /// Says where in the spec a value comes from, if that is not where it is used first.
    pub fn set_origin(&mut self, v: Value, span: Span) {
        self.function.values[v.index()].span = span;
    }

    /// Widens or tightens a claim. Whether it follows is the prover's and the verifier's business.
    pub fn set_range(&mut self, v: Value, range: Range) {
        self.function.values[v.index()].range = range;
    }

    // Blocks.

    /// Adds a block without parameters. Its disk block is the current block's.
    pub fn block(&mut self) -> Block {
        self.new_block(self.disk())
    }

    /// Adds a block for a hop to go to: its first parameter, also returned, is the length of the block read, of which `range.lo`
    /// bytes are sure.
    pub fn hop_block(&mut self, range: Range) -> (Block, Value) {
        let block = self.new_block(None);
        let len = self.block_param(block, Ty::U64, range);
        self.set_disk(block, Some(Disk { len, min: range.lo.clamp(0, u32::MAX.into()) as u32 }));
        (block, len)
    }

    /// Adds a parameter to a block.
    pub fn block_param(&mut self, block: Block, ty: Ty, range: Range) -> Value {
        let params = &self.function.blocks[block.index()].params;
        self.defs.push(Def::Param(block, params.len()));
        let v = self.new_value(ty, range);
        self.function.blocks[block.index()].params.push(v);
        v
    }

    /// Sets the disk block of a basic block.
    pub fn set_disk(&mut self, block: Block, disk: Option<Disk>) {
        self.function.blocks[block.index()].disk = disk;
    }

    /// Makes a block the header of a loop of at most `most` turns; `counter` is one of its parameters.
    pub fn set_header(&mut self, block: Block, counter: Value, most: u64) {
        self.function.blocks[block.index()].header = Some(LoopInfo { counter, most });
    }

    /// Goes on at the end of this block.
    pub fn switch_to(&mut self, block: Block) {
        self.current = block;
    }

    /// The current block.
    pub fn current(&self) -> Block {
        self.current
    }

    /// The disk block that is current here.
    pub fn disk(&self) -> Option<Disk> {
        self.function.block(self.current).disk
    }

    /// Whether the current block has its terminator.
    pub fn is_ended(&self) -> bool {
        self.ended[self.current.index()]
    }

    // Operations.

    /// Appends an operation that makes a value of this type, with the claim that follows.
    pub fn op(&mut self, ty: Ty, op: Op) -> Value {
        let range = range::of(&self.function, &self.defs, &op, ty);
        let def = Def::Inst(self.current, self.insts().len());
        self.defs.push(def);
        let v = self.new_value(ty, range);
        let span = self.span;
        self.insts().push(Inst { op, result: Some(v), span });
        v
    }

    /// Appends an operation that makes no value.
    pub fn effect(&mut self, op: Op) {
        let span = self.span;
        self.insts().push(Inst { op, result: None, span });
    }

    /// A number. What the type cannot hold is taken modulo 2^64.
    pub fn iconst(&mut self, ty: Ty, n: i128) -> Value {
        self.op(ty, Op::Const(n as u64))
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) -> Value {
        self.iconst(Ty::Bool, value.into())
    }

    /// The scalar parameter at this position.
    pub fn arg(&mut self, position: u32) -> Value {
        let ty = match self.function.args[position as usize].kind {
            LeafKind::Scalar { ty, .. } => ty,
            LeafKind::Bytes { .. } => {
                panic!("only a scalar parameter has a value, and {position} is bytes")
            }
        };
        self.op(ty, Op::Arg(position))
    }

    /// The length of the bytes parameter at this position.
    pub fn arg_len(&mut self, position: u32) -> Value {
        self.op(Ty::U64, Op::ArgLen(position))
    }

    /// Arithmetic, in the type of `a`.
    pub fn binary(&mut self, op: BinOp, mode: Mode, a: Value, b: Value) -> Value {
        self.op(self.value(a).ty, Op::Binary { op, mode, a, b })
    }

    /// A comparison.
    pub fn compare(&mut self, op: CmpOp, a: Value, b: Value) -> Value {
        self.op(Ty::Bool, Op::Compare { op, a, b })
    }

    /// The other truth value.
    pub fn not(&mut self, a: Value) -> Value {
        let yes = self.bool(true);
        self.binary(BinOp::Xor, Mode::Exact, a, yes)
    }

    /// One of two values.
    pub fn select(&mut self, cond: Value, a: Value, b: Value) -> Value {
        self.op(self.value(a).ty, Op::Select { cond, a, b })
    }

    /// The same number under another type.
    pub fn cast(&mut self, ty: Ty, a: Value) -> Value {
        self.op(ty, Op::Cast(a))
    }

    /// The same word under another type.
    pub fn reinterpret(&mut self, ty: Ty, a: Value) -> Value {
        self.op(ty, Op::Reinterpret(a))
    }

    /// The low bits of a word.
    pub fn extend(&mut self, ty: Ty, bits: u8, a: Value) -> Value {
        self.op(ty, Op::Extend { bits, a })
    }

    /// The same value where `cond` is `sense`.
    pub fn refine(&mut self, a: Value, cond: Value, sense: bool) -> Value {
        self.op(self.value(a).ty, Op::Refine { a, cond, sense })
    }

    /// Reads `width` bytes as an integer.
    pub fn load(&mut self, addr: Addr, width: u8, endian: Endian, ty: Ty) -> Value {
        self.op(ty, Op::Load { addr, width, endian })
    }

    /// How many bytes a varint has, and its number.
    pub fn varint(
        &mut self,
        kind: Varint,
        addr: Addr,
        limit: Value,
        outside: FaultRef,
        wide: Option<FaultRef>,
    ) -> (Value, Value) {
        let size = self.op(Ty::U64, Op::Varint { kind, addr, limit, outside, wide });
        (size, self.op(Ty::U64, Op::Decoded(size)))
    }

    /// The offset `a`, for which `a + size <= limit` has been tested.
    pub fn check(&mut self, region: Region, a: Value, size: Size, limit: Value, fault: FaultRef) -> Value {
        self.op(Ty::U64, Op::Check { region, a, size, limit, fault })
    }

    /// Ends the walk unless `cond`.
    pub fn guard(&mut self, cond: Value, fault: FaultRef) {
        self.effect(Op::Guard { cond, fault });
    }

    /// Leaves `cond` to the prover.
    pub fn prove(&mut self, cond: Value, obligation: u32) {
        self.effect(Op::Prove { cond, obligation });
    }

    /// Writes the low `width` bytes of a word.
    pub fn store(&mut self, addr: Addr, width: u8, endian: Endian, value: Value) {
        self.effect(Op::Store { addr, width, endian, value });
    }

    /// Copies bytes.
    pub fn copy(&mut self, to: Addr, from: Addr, len: Size) {
        self.effect(Op::Copy { to, from, len });
    }

    // Terminators.

    /// Ends the current block.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn end(&mut self, term: Terminator) {
        assert!(!self.is_ended(), "a block ends once, but {} has ended before", self.current);
        self.ended[self.current.index()] = true;
        let span = self.span;
        let block = &mut self.function.blocks[self.current.index()];
        block.term = term;
        block.span = span;
    }

    /// To one block.
    pub fn jump(&mut self, block: Block, args: &[Value]) {
        self.end(Terminator::Jump(Target::new(block, args)));
    }

    /// To one of two.
    pub fn branch(&mut self, cond: Value, then: Target, other: Target) {
        self.end(Terminator::Branch { cond, then, other });
    }

    /// Reads `len` bytes at `offset`, and goes on at `next`. Slots are kept by [`FunctionBuilder::end`] with a full terminator, or by a later pass.
    pub fn hop(&mut self, source: SourceId, offset: Value, len: Value, next: Target, fault: FaultId) {
        self.end(Terminator::Hop { source, offset, len, next, keep: Vec::new(), fault });
    }

    /// A row is complete.
    pub fn emit(&mut self, next: Target) {
        self.end(Terminator::Emit { next, keep: Vec::new() });
    }

    /// The walk is over.
    pub fn ret(&mut self) {
        self.end(Terminator::Return);
    }

    /// The walk ends with a fault.
    pub fn end_with_fault(&mut self, fault: FaultRef) {
        self.end(Terminator::Fault(fault));
    }

    fn new_block(&mut self, disk: Option<Disk>) -> Block {
        self.ended.push(false);
        let data = BlockData {
            params: Vec::new(),
            disk,
            header: None,
            insts: Vec::new(),
            term: Terminator::Return,
            span: self.span,
        };
        Block(push(&mut self.function.blocks, data))
    }

    fn new_value(&mut self, ty: Ty, range: Range) -> Value {
        Value(push(&mut self.function.values, ValueData { ty, range, name: None, span: self.span }))
    }

    fn insts(&mut self) -> &mut Vec<Inst> {
        assert!(!self.is_ended(), "operations come before the terminator, but {} has ended", self.current);
        &mut self.function.blocks[self.current.index()].insts
    }
}

impl Addr {
    /// The start of a region.
    pub fn new(region: Region) -> Self {
        Addr { region, base: None, index: None, disp: 0 }
    }

    /// The same place in what a check has shown.
    pub fn base(self, base: Value) -> Self {
        Addr { base: Some(base), ..self }
    }

    /// The same place, moved by a variable.
    pub fn index(self, index: Value) -> Self {
        Addr { index: Some(index), ..self }
    }

    /// The same place with this constant offset.
    pub fn disp(self, disp: u32) -> Self {
        Addr { disp, ..self }
    }
}

impl FaultRef {
    /// A fault that reports nothing more.
    pub fn new(fault: FaultId) -> Self {
        FaultRef { fault, found: None, at: None }
    }

    /// With the value found.
    pub fn found(self, found: Value) -> Self {
        FaultRef { found: Some(found), ..self }
    }

    /// With the offset in the disk block.
    pub fn at(self, at: Value) -> Self {
        FaultRef { at: Some(at), ..self }
    }
}

impl Target {
    /// A block with arguments.
    pub fn new(block: Block, args: &[Value]) -> Self {
        Target { block, args: args.into() }
    }
}

/// Appends, and says where.
fn push<T>(table: &mut Vec<T>, entry: T) -> u32 {
    table.push(entry);
    table.len() as u32 - 1
}
