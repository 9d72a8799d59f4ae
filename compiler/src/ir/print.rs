//! The text form of a function, `.tir`: what dumps, snapshots and hand-written tests share. [`super::parse`] reads it.
//!
//! ```text
//! traversal next -> u64 {
//!     param at: u64
//!     fault f0 out_of_device unsigned "the node lies outside the image"
//!
//! b0:
//!     v0: u64 = arg 0
//!     v1: u64 = const 512
//!     hop i0 at v0 len v1 to b1 else f0
//! b1(v2: u64 512..=512) disk v2 min 512:
//!     v3: u64 "node.next" = load.8le disk[0]
//!     store.8le out[0], v3
//!     return
//! }
//! ```
//!
//! Types and claims stand behind each value where it is defined. A claim is left out where it follows from the operands and says
//! nothing: for constants, and where it is all that the type can hold. With spans, `@file:start-end` ends an item.
//!
//! Behind the last block stands the evidence: `invariant b3 [12 v5, -1 v7] + 12` says that `12 * v5 - v7 + 12` is at most 0 where `b3` begins, with an
//! `edge` for each way in; `proof v9` has a `sum` for each thing that the operation needs. Both are a scale and facts with
//! factors: `edge 1 [12 true v8 0, 1 most v4]`.

use super::defs::Defs;
use super::eval::{number, range};
use super::evidence::{Fact, Sum};
use super::linear::Form;
use super::schema::{Display as Shown, Schema};
use super::*;
use std::fmt::{self, Display, Formatter, Write};

/// The whole function, places in the source included.
pub fn print(f: &Function) -> String {
    text(f, true)
}

/// The function for people to read: without places.
impl Display for Function {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&text(self, false))
    }
}

fn text(f: &Function, spans: bool) -> String {
    let mut printer = Printer { f, defs: Defs::of(f), spans, out: String::new() };
    printer.function().expect("a String takes all that is written to it");
    printer.out
}

struct Printer<'f> {
    f: &'f Function,
    defs: Defs,
    spans: bool,
    out: String,
}

impl Printer<'_> {
    fn function(&mut self) -> fmt::Result {
        let f = self.f;
        let stream = if f.stream { "stream " } else { "" };
        write!(self.out, "traversal {} -> {stream}{}", Name(&f.name), f.result)?;
        self.span(f.span)?;
        self.out.push_str(" {\n");
        self.tables()?;
        for (block, data) in f.blocks() {
            self.block(block, data)?;
        }
        self.evidence()?;
        self.out.push_str("}\n");
        Ok(())
    }

    fn evidence(&mut self) -> fmt::Result {
        let evidence = &self.f.evidence;
        for invariant in &evidence.invariants {
            writeln!(self.out, "    invariant {} {}", invariant.block, invariant.form)?;
            self.sums("edge", &invariant.edges)?;
        }
        for (v, sums) in &evidence.proofs {
            writeln!(self.out, "    proof {v}")?;
            self.sums("sum", sums)?;
        }
        Ok(())
    }

    fn sums(&mut self, word: &str, sums: &[Sum]) -> fmt::Result {
        sums.iter().try_for_each(|sum| writeln!(self.out, "        {word} {sum}"))
    }

    fn tables(&mut self) -> fmt::Result {
        let f = self.f;
        for p in &f.params {
            write!(self.out, "    param {}: {}", Name(&p.name), p.schema)?;
            match &p.default {
                Some(default) => writeln!(self.out, " = {}", Name(default))?,
                None => self.out.push('\n'),
            }
        }
        for (i, source) in f.sources.iter().enumerate() {
            writeln!(self.out, "    source i{i} {}", Name(source))?;
        }
        for (i, slot) in f.slots.iter().enumerate() {
            writeln!(self.out, "    slot s{i} {} {}", Name(&slot.name), slot.size)?;
        }
        for (i, data) in f.data.iter().enumerate() {
            write!(self.out, "    data d{i} {} \"", Name(&data.name))?;
            data.bytes.iter().try_for_each(|byte| write!(self.out, "{byte:02x}"))?;
            self.out.push_str("\"\n");
        }
        for (i, fault) in f.faults.iter().enumerate() {
            let kind = fault.kind.name().replace(' ', "_");
            write!(self.out, "    fault f{i} {kind} {} {}", fault.found_as, Quoted(&fault.message))?;
            self.end(fault.span)?;
        }
        for (i, o) in f.obligations.iter().enumerate() {
            write!(self.out, "    obligation o{i} {} {}", o.kind.name(), Quoted(&o.text))?;
            o.operands.iter().try_for_each(|v| write!(self.out, " {v}"))?;
            self.end(o.span)?;
        }
        for i in 0..f.values.len() as u32 {
            if self.defs.get(Value(i)).is_none() {
                self.out.push_str("    unused ");
                self.value(Value(i), None)?;
                self.end(f.value(Value(i)).span)?;
            }
        }
        self.out.push('\n');
        Ok(())
    }

    fn block(&mut self, block: Block, data: &BlockData) -> fmt::Result {
        write!(self.out, "{block}")?;
        if !data.params.is_empty() {
            self.out.push('(');
            for (i, v) in data.params.iter().enumerate() {
                self.out.push_str(if i == 0 { "" } else { ", " });
                self.value(*v, None)?;
                if let Some(value) = self.f.values.get(v.index()) {
                    self.span(value.span)?;
                }
            }
            self.out.push(')');
        }
        if let Some(disk) = data.disk {
            write!(self.out, " disk {} min {}", disk.len, disk.min)?;
        }
        if let Some(header) = data.header {
            write!(self.out, " loop {} < {}", header.counter, header.most)?;
        }
        self.out.push_str(":\n");
        for inst in &data.insts {
            self.inst(inst)?;
        }
        write!(self.out, "    {}", data.term)?;
        self.end(data.span)
    }

    fn inst(&mut self, inst: &Inst) -> fmt::Result {
        self.out.push_str("    ");
        let mut ty = Ty::U64;
        if let Some(v) = inst.result {
            self.value(v, Some(&inst.op))?;
            if let Some(value) = self.f.values.get(v.index()) {
                ty = value.ty;
                if value.span != inst.span {
                    self.span(value.span)?;
                }
            }
            self.out.push_str(" = ");
        }
        match &inst.op {
            Op::Const(word) => write!(self.out, "const {}", number(ty, *word))?,
            op => write!(self.out, "{op}")?,
        }
        self.end(inst.span)
    }

    /// A value where it is defined: type, claim and name.
    fn value(&mut self, v: Value, op: Option<&Op>) -> fmt::Result {
        let Some(value) = self.f.values.get(v.index()) else { return write!(self.out, "{v}: u64") };
        write!(self.out, "{v}: {}", value.ty.name())?;
        let all = Range::of(value.ty);
        let follows = op.map_or(all, |op| range::of(self.f, &self.defs, op, value.ty));
        let says_nothing = value.range == all || matches!(op, Some(Op::Const(_)));
        if value.range != follows || !says_nothing {
            write!(self.out, " {}..={}", value.range.lo, value.range.hi)?;
            if value.range.step() > 1 {
                write!(self.out, " step {}", value.range.step())?;
            }
        }
        match &value.name {
            Some(name) => write!(self.out, " {}", Quoted(name)),
            None => Ok(()),
        }
    }

    fn span(&mut self, span: Span) -> fmt::Result {
        if !self.spans || span == Span::default() {
            return Ok(());
        }
        write!(self.out, " @{}:{}-{}", span.file.0, span.start, span.end)
    }

    fn end(&mut self, span: Span) -> fmt::Result {
        self.span(span)?;
        self.out.push('\n');
        Ok(())
    }
}

impl Display for Op {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Op::Const(word) => write!(out, "const {word}"),
            Op::Arg(i) => write!(out, "arg {i}"),
            Op::ArgLen(i) => write!(out, "arglen {i}"),
            Op::Binary { op, mode, a, b } => match mode {
                Mode::Exact => write!(out, "{} {a}, {b}", op.name()),
                Mode::Wrap => write!(out, "{}.wrap {a}, {b}", op.name()),
                Mode::Checked(fault) => write!(out, "{}.checked {a}, {b} else {fault}", op.name()),
            },
            Op::Compare { op, a, b } => write!(out, "{} {a}, {b}", op.name()),
            Op::Select { cond, a, b } => write!(out, "select {cond}, {a}, {b}"),
            Op::Cast(a) => write!(out, "cast {a}"),
            Op::Reinterpret(a) => write!(out, "reinterpret {a}"),
            Op::Extend { bits, a } => write!(out, "extend {bits}, {a}"),
            Op::Refine { a, cond, sense } => {
                write!(out, "refine {a} {} {cond}", if *sense { "if" } else { "unless" })
            }
            Op::Load { addr, width, endian } => write!(out, "load.{width}{endian} {addr}"),
            Op::Varint { kind, addr, limit, outside, wide } => {
                write!(out, "varint.{} {addr} within {limit} else {outside}", kind.name())?;
                wide.iter().try_for_each(|fault| write!(out, " wide {fault}"))
            }
            Op::Decoded(a) => write!(out, "decoded {a}"),
            Op::Check { region, a, size, limit, fault } => {
                write!(out, "check {region} {a} + {size} <= {limit} else {fault}")
            }
            Op::Guard { cond, fault } => write!(out, "guard {cond} else {fault}"),
            Op::Prove { cond, obligation } => write!(out, "prove {cond} as o{obligation}"),
            Op::Store { addr, width, endian, value } => write!(out, "store.{width}{endian} {addr}, {value}"),
            Op::Copy { to, from, len } => write!(out, "copy {to}, {from}, {len}"),
        }
    }
}

impl Display for Terminator {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let kept = |out: &mut Formatter<'_>, keep: &[Slot]| {
            out.write_str(if keep.is_empty() { "" } else { " keep" })?;
            keep.iter().try_for_each(|slot| write!(out, " {slot}"))
        };
        match self {
            Terminator::Jump(target) => write!(out, "jump {target}"),
            Terminator::Branch { cond, then, other } => write!(out, "branch {cond}, {then}, {other}"),
            Terminator::Hop { source, offset, len, next, keep, fault } => {
                write!(out, "hop {source} at {offset} len {len} to {next}")?;
                kept(out, keep)?;
                write!(out, " else {fault}")
            }
            Terminator::Emit { next, keep } => {
                write!(out, "emit to {next}")?;
                kept(out, keep)
            }
            Terminator::Return => out.write_str("return"),
            Terminator::Fault(fault) => write!(out, "fault {fault}"),
        }
    }
}

impl Display for Target {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.block)?;
        if self.args.is_empty() {
            return Ok(());
        }
        for (i, v) in self.args.iter().enumerate() {
            write!(out, "{}{v}", if i == 0 { "(" } else { ", " })?;
        }
        out.write_str(")")
    }
}

impl Display for FaultRef {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.fault)?;
        match (self.found, self.at) {
            (None, None) => Ok(()),
            (Some(found), None) => write!(out, "(found {found})"),
            (None, Some(at)) => write!(out, "(at {at})"),
            (Some(found), Some(at)) => write!(out, "(found {found}, at {at})"),
        }
    }
}

impl Display for Region {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Region::Disk => out.write_str("disk"),
            Region::Arg(i) => write!(out, "arg{i}"),
            Region::Slot(slot) => write!(out, "{slot}"),
            Region::Data(data) => write!(out, "{data}"),
            Region::Out => out.write_str("out"),
        }
    }
}

impl Display for Addr {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}[", self.region)?;
        let mut plus = "";
        if let Some(base) = self.base {
            write!(out, "base {base}")?;
            plus = " + ";
        }
        if let Some(index) = self.index {
            write!(out, "{plus}{index}")?;
            plus = " + ";
        }
        if self.disp != 0 || plus.is_empty() {
            write!(out, "{plus}{}", self.disp)?;
        }
        out.write_str("]")
    }
}

impl Display for Size {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Size::Const(n) => write!(out, "{n}"),
            Size::Value(v) => write!(out, "{v}"),
        }
    }
}

impl Display for Endian {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Endian::Little => "le",
            Endian::Big => "be",
        })
    }
}

impl Display for FoundAs {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            FoundAs::Unsigned => out.write_str("unsigned"),
            FoundAs::Signed => out.write_str("signed"),
            FoundAs::Hex(digits) => write!(out, "hex {digits}"),
        }
    }
}

impl Display for Schema {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let shown = |out: &mut Formatter<'_>, display: Shown| match display.name() {
            Some(name) => write!(out, " as {name}"),
            None => Ok(()),
        };
        let named = |out: &mut Formatter<'_>, what: &str, name: &str, bits: u8, items: &[(String, u64)]| {
            write!(out, "{what} {}: {bits} {{", Name(name))?;
            for (i, (name, n)) in items.iter().enumerate() {
                write!(out, "{} {} = {n}", if i == 0 { "" } else { "," }, Name(name))?;
            }
            out.write_str(" }")
        };
        match self {
            Schema::Unit => out.write_str("unit"),
            Schema::Int { bits, signed, display } => {
                write!(out, "{}{bits}", if *signed { "i" } else { "u" })?;
                shown(out, *display)
            }
            Schema::Bool => out.write_str("bool"),
            Schema::Enum { name, bits, items } => named(out, "enum", name, *bits, items),
            Schema::Flags { name, bits, items } => named(out, "flags", name, *bits, items),
            Schema::Bytes { max, fixed: true, display } => {
                write!(out, "bytes<{max}>")?;
                shown(out, *display)
            }
            Schema::Bytes { max, fixed: false, display } => {
                write!(out, "bytes up to {max}")?;
                shown(out, *display)
            }
            Schema::Record { name, fields } => {
                write!(out, "record {} {{", Name(name))?;
                for (i, (name, schema)) in fields.iter().enumerate() {
                    write!(out, "{} {}: {schema}", if i == 0 { "" } else { "," }, Name(name))?;
                }
                out.write_str(" }")
            }
            Schema::Option(inner) => write!(out, "{inner}?"),
        }
    }
}

/// A name: bare where it is an identifier, else quoted.
struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let starts = self.0.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if starts && self.0.chars().all(super::parse::in_word) {
            out.write_str(self.0)
        } else {
            write!(out, "{}", Quoted(self.0))
        }
    }
}

/// A string in quotes, on one line.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(out, "\\{c}")?,
                '\n' => out.write_str("\\n")?,
                c if c.is_control() => write!(out, "\\u{{{:x}}}", c as u32)?,
                c => out.write_char(c)?,
            }
        }
        out.write_char('"')
    }
}

impl Display for Form {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("[")?;
        for (i, (atom, factor)) in self.terms().iter().enumerate() {
            write!(out, "{}{factor}", if i == 0 { "" } else { ", " })?;
            atom.values().try_for_each(|v| write!(out, " {v}"))?;
        }
        write!(out, "] + {}", self.constant)
    }
}

impl Display for Fact {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Least(v) => write!(out, "least {v}"),
            Fact::Most(v) => write!(out, "most {v}"),
            Fact::Condition { cond, sense, k } => write!(out, "{sense} {cond} {k}"),
            Fact::Definition { value, k } => write!(out, "def {value} {k}"),
            Fact::Invariant(i) => write!(out, "invariant {i}"),
            Fact::Read(block) => write!(out, "read {block}"),
            Fact::Product(a, b) => write!(out, "product({a}, {b})"),
            Fact::Split(split) => {
                let [a, b] = &split.arms;
                write!(out, "split({} {}, {a}, {b})", split.value, split.form)
            }
        }
    }
}

impl Display for Sum {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{} [", self.scale)?;
        for (i, (factor, fact)) in self.parts.iter().enumerate() {
            write!(out, "{}{factor} {fact}", if i == 0 { "" } else { ", " })?;
        }
        out.write_str("]")
    }
}
