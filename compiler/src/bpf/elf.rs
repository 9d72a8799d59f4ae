//! The object: an ELF file that libbpf, aya and bpftool load.
//!
//! All programs stand in one code section, whose name picks the program type. Each traversal has its state area in `.bss`; all share the
//! block area in `.data.block`; constants and fault tables are in `.rodata`. Loaders make each of these sections a map with one element that
//! can be mapped into user space, so neither side needs a helper call to reach them. Under a hook that gives the memory, state and block
//! are behind its context, and their sections are not there.
//!
//! Where a hook enters another program than the step, the steps are global functions in `.text`, and so are the routines that steps call. A hook that is registered as a
//! structure of functions (struct_ops) has a variable of that structure for each program, which its loader attaches.

use super::abi;
use super::btf::{self, Btf, CodeInfo, LineInfo, MemberUse, TypeId};
use super::describe::{self, Scalars, Strings};
use super::error::BpfError;
use super::insn::Insn;
use super::kernel::{Function as KernelFunction, Structures};
use super::profile::{Profile, Shape};
use super::program::{Callee, Entry, Program, Relocation as Fixup, Symbol as Area};
use super::routine::Routine;
use crate::ir::verify::Verified;
use crate::source::{SourceMap, Span};
use object::elf::{R_BPF_64_32, R_BPF_64_64, RelocationType, SHT_PROGBITS, SectionFlags as ElfFlags};
use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};
use std::collections::BTreeMap;

/// What the kernel counts as compatible with the GPL (include/linux/license.h); the code made is the user's.
const LICENSE: &[u8] = b"Dual MIT/GPL\0";

/// A 64-bit address in data (Linux, Documentation/bpf/llvm_reloc.rst).
const R_BPF_64_ABS64: RelocationType = RelocationType(2);
/// Where functions stand that are no programs.
const TEXT_SECTION: &str = ".text";
/// Structures that are attached by a link, which goes with the process.
const OPERATIONS_SECTION: &str = ".struct_ops.link";
/// Bytes of one: a function's address, and the ring's descriptor.
const OPERATIONS_SIZE: u32 = 16;
/// Functions of the kernel.
const EXTERNAL_SECTION: &str = ".ksyms";

/// Emits an object with one program for each traversal.
pub fn object(programs: &[&Verified], sources: &SourceMap, profile: &Profile) -> Result<Vec<u8>, BpfError> {
    let mut file = File::new(profile);
    for (i, f) in programs.iter().enumerate() {
        let name = describe::identifier(&f.name);
        if programs[..i].iter().any(|g| describe::identifier(&g.name) == name) {
            return Err(BpfError::SameName(name));
        }
        let program = super::compile(f, profile)?;
        file.program(f, &program, sources);
    }
    file.finish(programs)
}

/// The file in the making.
struct File<'a> {
    elf: Object<'a>,
    /// The programs that the hook enters.
    code: Code,
    /// Functions that they call: steps, where the hook enters another program, and routines.
    text: Option<Code>,
    /// Whether the hook enters another program than the step.
    entered: bool,
    /// State areas and the block area; none under a hook that gives the memory.
    areas: Option<Areas>,
    /// Structures of functions, where the hook wants them.
    operations: Option<Operations>,
    constants: Data,
    btf: Btf,
    scalars: Scalars,
    context: TypeId,
    fault: TypeId,
    strings: Strings,
    structures: Structures,
    /// Functions of the kernel that are called.
    externals: BTreeMap<KernelFunction, (SymbolId, TypeId)>,
}

/// A section of code.
struct Code {
    section: SectionId,
    info: CodeInfo,
}

/// The section of the structures that are registered.
struct Operations {
    data: Data,
    structure: TypeId,
}

/// What the names of a program's areas stand for.
#[derive(Clone, Copy)]
struct Symbols {
    state: Option<SymbolId>,
    block: Option<SymbolId>,
    constants: Option<SymbolId>,
}

/// The sections of the areas that a harness shares with the programs.
struct Areas {
    state: Data,
    block_section: SectionId,
    block: SymbolId,
}

/// A section of variables.
struct Data {
    section: SectionId,
    size: u32,
    variables: Vec<(TypeId, u32, u32)>,
}

impl<'a> File<'a> {
    fn new(profile: &'a Profile) -> Self {
        let mut elf = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
        let mut section = |name: &str, kind| elf.add_section(Vec::new(), name.into(), kind);
        let code = section(&profile.program.section, SectionKind::Text);
        let constants = Data::new(section(abi::CONST_SECTION, SectionKind::ReadOnlyData));
        let maps = matches!(profile.shape, Shape::Harness | Shape::Pull);
        let areas = maps.then(|| {
            let mut section = |name: &str, kind| elf.add_section(Vec::new(), name.into(), kind);
            let state = Data::new(section(abi::STATE_SECTION, SectionKind::UninitializedData));
            let block_section = section(abi::BLOCK_SECTION, SectionKind::Data);
            let block = symbol(&mut elf, abi::BLOCK_SYMBOL, SymbolKind::Data, block_section, 0, 0);
            Areas { state, block_section, block }
        });
        let mut btf = Btf::default();
        let scalars = Scalars::new(&mut btf);
        let context = btf.structure(&profile.program.context, 0, &[]);
        let context = btf.pointer(context);
        let fault = describe::fault_type(&mut btf, &scalars);
        let code = Code::new(code, btf.string(&profile.program.section));
        let entered = matches!(profile.shape, Shape::Pull | Shape::Loop);
        let operations = profile.operations.as_ref().map(|operations| {
            let section = elf.add_section(Vec::new(), OPERATIONS_SECTION.into(), SectionKind::Data);
            let prototype = btf.prototype(scalars.int, &[]);
            let function = btf.pointer(prototype);
            let member = |name: &str, ty, offset| btf::Field { name: name.into(), ty, offset };
            let members = [member(&operations.member, function, 0), member(abi::RING_MEMBER, scalars.half, 8)];
            let structure = btf.structure(&operations.structure, OPERATIONS_SIZE, &members);
            Operations { data: Data::new(section), structure }
        });
        File {
            elf,
            code,
            text: None,
            entered,
            areas,
            operations,
            constants,
            btf,
            scalars,
            context,
            fault,
            strings: Strings::default(),
            structures: Structures::default(),
            externals: BTreeMap::new(),
        }
    }

    fn program(&mut self, f: &Verified, program: &Program, sources: &SourceMap) {
        let name = describe::identifier(&f.name);
        let layout = &program.layout;
        let ty = describe::state(f, layout).btf(&mut self.btf, &self.scalars);
        let state = self.areas.as_mut().map(|areas| {
            let offset = self.elf.append_section_bss(areas.state.section, layout.size.into(), 8);
            let symbol = abi::state_symbol(&name);
            areas.state.variable(&mut self.elf, &mut self.btf, &symbol, ty, offset, layout.size)
        });
        let constants = (!program.constants.is_empty()).then(|| {
            let ty = self.scalars.bytes(&mut self.btf, program.constants.len() as u32);
            self.constant(&format!("{name}_constants"), ty, &program.constants)
        });
        if !f.faults.is_empty() {
            let entries = f.faults.iter().flat_map(|fault| describe::fault_entry(fault, sources, &mut self.strings));
            let table: Vec<u8> = entries.collect();
            let ty = self.btf.array(self.fault, self.scalars.int, f.faults.len() as u32);
            self.constant(&format!("{name}_faults"), ty, &table);
        }
        let symbols = Symbols { state, block: self.areas.as_ref().map(|areas| areas.block), constants };
        match &program.entry {
            None => {
                let ty = self.btf.function(&name, self.scalars.int, &[("ctx", self.context)]);
                self.step(&name, ty, program, sources, symbols);
            }
            Some(entry) => {
                let ty = self.step_type(&name, program.block_size, ty);
                let step = self.step(&name, ty, program, sources, symbols);
                self.entry(&name, f.span, entry, sources, symbols, step);
            }
        }
    }

    /// The type of a step that another program calls: with the areas that are not in maps.
    fn step_type(&mut self, name: &str, size: u32, state: TypeId) -> TypeId {
        let mut params = Vec::new();
        if self.areas.is_none() {
            let bytes = self.scalars.bytes(&mut self.btf, size);
            let bytes = btf::Field { name: "bytes".into(), ty: bytes, offset: 0 };
            let block = self.btf.structure(&format!("{name}_block"), size, &[bytes]);
            params = vec![("state", self.btf.pointer(state)), ("block", self.btf.pointer(block))];
        }
        self.btf.function_of_some(&step_name(name), self.scalars.int, &params)
    }

    fn constant(&mut self, name: &str, ty: TypeId, bytes: &[u8]) -> SymbolId {
        let offset = self.elf.append_section_data(self.constants.section, bytes, 8);
        self.constants.variable(&mut self.elf, &mut self.btf, name, ty, offset, bytes.len() as u32)
    }

    /// Appends a routine of the traversal with this name.
    fn routine(
        &mut self,
        name: &str,
        span: Span,
        routine: &Routine,
        sources: &SourceMap,
        symbols: Symbols,
    ) -> SymbolId {
        let name = format!("{name}_{}", routine.name());
        let word = self.scalars.word;
        let ty = self.btf.function(&name, word, &[("at", word), ("limit", word)]);
        let code = text(&mut self.text, &mut self.elf, &mut self.btf);
        let (start, symbol) = code.append(&mut self.elf, &name, &routine.insns, &routine.relocations, symbols);
        code.info.functions.push((start, ty));
        code.line(&mut self.btf, sources, start, 0, span);
        symbol
    }

    /// Appends the step and its routines, where they belong.
    fn step(&mut self, name: &str, ty: TypeId, program: &Program, sources: &SourceMap, symbols: Symbols) -> SymbolId {
        let routine = |r: &Routine| self.routine(name, program.lines[0].1, r, sources, symbols);
        let routines: Vec<SymbolId> = program.routines.iter().map(routine).collect();
        let (code, name) = match self.entered {
            true => (text(&mut self.text, &mut self.elf, &mut self.btf), step_name(name)),
            false => (&mut self.code, name.into()),
        };
        let (start, symbol) = code.append(&mut self.elf, &name, &program.insns, &program.relocations, symbols);
        code.info.functions.push((start, ty));
        for call in &program.calls {
            if let Callee::Routine(i) = call.callee {
                relocate(&mut self.elf, code.section, start + 8 * call.insn, routines[i as usize], R_BPF_64_32);
            }
        }
        for (insn, span) in &program.lines {
            code.line(&mut self.btf, sources, start, *insn, *span);
        }
        symbol
    }

    /// Appends what the hook enters.
    fn entry(&mut self, name: &str, span: Span, entry: &Entry, sources: &SourceMap, symbols: Symbols, step: SymbolId) {
        let (start, program) = self.code.append(&mut self.elf, name, &entry.insns, &entry.relocations, symbols);
        let ty = self.btf.function(name, self.scalars.int, &[("ctx", self.context)]);
        self.code.info.functions.push((start, ty));
        self.code.line(&mut self.btf, sources, start, 0, span);
        for call in &entry.calls {
            let symbol = match call.callee {
                Callee::Step => step,
                Callee::Kernel(function) => self.external(function),
                Callee::Routine(_) => unreachable!("an entry calls the step, which calls routines"),
            };
            relocate(&mut self.elf, self.code.section, start + 8 * call.insn, symbol, R_BPF_64_32);
        }
        for access in &entry.accesses {
            let structure = self.structures.of(access.member, &mut self.btf, &self.scalars);
            let path = self.btf.string(access.member.path());
            self.code.info.members.push(MemberUse { insn_bytes: start + 8 * access.insn, structure, path });
        }
        if let Some(operations) = &mut self.operations {
            let offset = self.elf.append_section_data(operations.data.section, &[0; OPERATIONS_SIZE as usize], 8);
            let (ty, name) = (operations.structure, abi::operations_symbol(name));
            operations.data.variable(&mut self.elf, &mut self.btf, &name, ty, offset, OPERATIONS_SIZE);
            relocate(&mut self.elf, operations.data.section, offset as u32, program, R_BPF_64_ABS64);
        }
    }

    fn external(&mut self, function: KernelFunction) -> SymbolId {
        if let Some((symbol, _)) = self.externals.get(&function) {
            return *symbol;
        }
        let ty = function.btf(&mut self.btf, &self.scalars);
        let symbol = self.elf.add_symbol(Symbol {
            name: function.name().into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
        self.externals.insert(function, (symbol, ty));
        symbol
    }

    /// The block area, as large as the greatest of the programs wants it.
    fn block(&mut self, programs: &[&Verified]) {
        let Some(Areas { block_section, block, .. }) = self.areas else { return };
        let capacity = programs.iter().map(|f| abi::block_capacity(f)).max().unwrap_or(0);
        let size = abi::block_area_size(capacity);
        // libbpf takes no section without bytes but `.bss`.
        self.elf.append_section_data(block_section, &vec![0; size as usize], 4096);
        self.elf.symbol_mut(block).size = size;
        let ty = self.scalars.bytes(&mut self.btf, size as u32);
        let variable = self.btf.variable(abi::BLOCK_SYMBOL, ty);
        self.btf.section(abi::BLOCK_SECTION, size as u32, &[(variable, 0, size as u32)]);
    }

    fn finish(mut self, programs: &[&Verified]) -> Result<Vec<u8>, BpfError> {
        self.block(programs);
        let strings = std::mem::take(&mut self.strings).into_bytes();
        if !strings.is_empty() {
            let ty = self.scalars.bytes(&mut self.btf, strings.len() as u32);
            self.constant("trav_strings", ty, &strings);
        }
        let state = self.areas.as_ref().map(|areas| (abi::STATE_SECTION, &areas.state));
        let operations = self.operations.as_ref().map(|operations| (OPERATIONS_SECTION, &operations.data));
        for (name, data) in state.into_iter().chain(operations).chain([(abi::CONST_SECTION, &self.constants)]) {
            if data.size > 0 {
                self.btf.section(name, data.size, &data.variables);
            }
        }
        if !self.externals.is_empty() {
            let externals: Vec<_> = self.externals.values().map(|(_, ty)| (*ty, 0, 0)).collect();
            self.btf.section(EXTERNAL_SECTION, 0, &externals);
        }
        let license = self.elf.add_section(Vec::new(), b"license".into(), SectionKind::Data);
        self.elf.append_section_data(license, LICENSE, 1);
        let infos: Vec<CodeInfo> = [Some(self.code), self.text].into_iter().flatten().map(|code| code.info).collect();
        let ext = btf::ext(&infos);
        for (name, bytes) in [(".BTF", self.btf.finish()), (".BTF.ext", ext)] {
            let section = self.elf.add_section(Vec::new(), name.into(), SectionKind::Other);
            self.elf.section_mut(section).flags = SectionFlags::Elf { sh_type: SHT_PROGBITS, sh_flags: ElfFlags(0) };
            self.elf.append_section_data(section, &bytes, 4);
        }
        self.elf.write().map_err(|e| BpfError::Elf(e.to_string()))
    }
}

impl Code {
    fn new(section: SectionId, name: u32) -> Code {
        Code { section, info: CodeInfo { section: name, ..CodeInfo::default() } }
    }

    /// Appends a function with the addresses that it names; where it begins in the section, and its symbol.
    fn append(
        &mut self,
        elf: &mut Object<'_>,
        name: &str,
        insns: &[Insn],
        relocations: &[Fixup],
        symbols: Symbols,
    ) -> (u32, SymbolId) {
        let mut insns = insns.to_vec();
        for r in relocations {
            // The addend stands in the instruction: relocations have none of their own.
            insns[r.insn as usize].imm = r.addend as i32;
        }
        let bytes: Vec<u8> = insns.iter().flat_map(|insn| insn.encode()).collect();
        let start = elf.append_section_data(self.section, &bytes, 8);
        let function = symbol(elf, name, SymbolKind::Text, self.section, start, bytes.len() as u64);
        for r in relocations {
            let symbol = match r.symbol {
                Area::State => symbols.state,
                Area::Block => symbols.block,
                Area::Constants => symbols.constants,
            };
            let symbol = symbol.expect("a program names only areas that its object has");
            relocate(elf, self.section, start as u32 + 8 * r.insn, symbol, R_BPF_64_64);
        }
        (start as u32, function)
    }

    /// Says that from an instruction on the code of the function at `start` belongs to a place.
    fn line(&mut self, btf: &mut Btf, sources: &SourceMap, start: u32, insn: u32, span: Span) {
        let place = sources.place(span);
        let info = LineInfo {
            insn_bytes: start + 8 * insn,
            file: btf.string(&place.file),
            text: btf.string(sources.line_text(span)),
            line: place.line,
            column: place.column,
        };
        let same = |last: &&LineInfo| (last.file, last.line, last.column) == (info.file, info.line, info.column);
        if insn == 0 || self.info.lines.last().filter(same).is_none() {
            self.info.lines.push(info);
        }
    }
}

/// The section of functions that are called, made when first asked for.
fn text<'c>(text: &'c mut Option<Code>, elf: &mut Object<'_>, btf: &mut Btf) -> &'c mut Code {
    text.get_or_insert_with(|| {
        let section = elf.add_section(Vec::new(), TEXT_SECTION.into(), SectionKind::Text);
        Code::new(section, btf.string(TEXT_SECTION))
    })
}

/// What the step of a traversal is called where the hook enters another program.
fn step_name(traversal: &str) -> String {
    format!("{traversal}_step")
}

/// Has the loader put a symbol's address in.
fn relocate(elf: &mut Object<'_>, section: SectionId, offset: u32, symbol: SymbolId, r_type: RelocationType) {
    let flags = RelocationFlags::Elf { r_type };
    let relocation = Relocation { offset: offset.into(), symbol, addend: 0, flags };
    elf.add_relocation(section, relocation).expect("the relocation is one of ELF's");
}

impl Data {
    fn new(section: SectionId) -> Data {
        Data { section, size: 0, variables: Vec::new() }
    }

    /// Names what lies at an offset.
    fn variable(
        &mut self,
        elf: &mut Object<'_>,
        btf: &mut Btf,
        name: &str,
        ty: TypeId,
        offset: u64,
        size: u32,
    ) -> SymbolId {
        self.variables.push((btf.variable(name, ty), offset as u32, size));
        self.size = offset as u32 + size;
        symbol(elf, name, SymbolKind::Data, self.section, offset, size.into())
    }
}

fn symbol(elf: &mut Object<'_>, name: &str, kind: SymbolKind, section: SectionId, value: u64, size: u64) -> SymbolId {
    // Loaders take global symbols only.
    elf.add_symbol(Symbol {
        name: name.into(),
        value,
        size,
        kind,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    })
}
