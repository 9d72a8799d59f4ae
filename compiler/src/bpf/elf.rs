//! The object: an ELF file that libbpf, aya and bpftool load.
//!
//! All programs stand in one code section, whose name picks the program type. Each traversal has its state area in `.bss`; all share the
//! block area in `.data.block`; constants and fault tables are in `.rodata`. Loaders make each of these sections a map with one element that
//! can be mapped into user space, so neither side needs a helper call to reach them. Under a hook that gives the memory, state and block
//! are behind its context, and their sections are not there.

use super::abi::{self, StateLayout};
use super::btf::{self, Btf, LineInfo, TypeId};
use super::describe::{self, Scalars, Strings};
use super::error::BpfError;
use super::profile::{Profile, Shape};
use super::program::{Program, Symbol as Area};
use crate::ir::verify::Verified;
use crate::source::SourceMap;
use object::elf::{R_BPF_64_64, SHT_PROGBITS, SectionFlags as ElfFlags};
use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};

/// What the kernel counts as compatible with the GPL (include/linux/license.h); the code made is the user's.
const LICENSE: &[u8] = b"Dual MIT/GPL\0";

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
    profile: &'a Profile,
    code: SectionId,
    /// State areas and the block area; none under a hook that gives the memory.
    areas: Option<Areas>,
    constants: Data,
    btf: Btf,
    scalars: Scalars,
    context: TypeId,
    fault: TypeId,
    strings: Strings,
    functions: Vec<(u32, TypeId)>,
    lines: Vec<LineInfo>,
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
        let areas = (profile.shape == Shape::Harness).then(|| {
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
        let strings = Strings::default();
        let (functions, lines) = (Vec::new(), Vec::new());
        File { elf, profile, code, areas, constants, btf, scalars, context, fault, strings, functions, lines }
    }

    fn program(&mut self, f: &Verified, program: &Program, sources: &SourceMap) {
        let name = describe::identifier(&f.name);
        let layout = StateLayout::of(f).expect("the layout of a compiled function exists");
        let ty = describe::state(f, &layout).btf(&mut self.btf, &self.scalars);
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
        self.code(&name, program, sources, state, constants);
    }

    fn constant(&mut self, name: &str, ty: TypeId, bytes: &[u8]) -> SymbolId {
        let offset = self.elf.append_section_data(self.constants.section, bytes, 8);
        self.constants.variable(&mut self.elf, &mut self.btf, name, ty, offset, bytes.len() as u32)
    }

    fn code(
        &mut self,
        name: &str,
        program: &Program,
        sources: &SourceMap,
        state: Option<SymbolId>,
        constants: Option<SymbolId>,
    ) {
        let mut insns = program.insns.clone();
        for r in &program.relocations {
            // The addend stands in the instruction: relocations have none of their own.
            insns[r.insn as usize].imm = r.addend as i32;
        }
        let bytes: Vec<u8> = insns.iter().flat_map(|insn| insn.encode()).collect();
        let start = self.elf.append_section_data(self.code, &bytes, 8);
        symbol(&mut self.elf, name, SymbolKind::Text, self.code, start, bytes.len() as u64);
        for r in &program.relocations {
            let symbol = match r.symbol {
                Area::State => state,
                Area::Block => self.areas.as_ref().map(|areas| areas.block),
                Area::Constants => constants,
            };
            let symbol = symbol.expect("a program names only areas that its object has");
            let flags = RelocationFlags::Elf { r_type: R_BPF_64_64 };
            let relocation = Relocation { offset: start + 8 * u64::from(r.insn), symbol, addend: 0, flags };
            self.elf.add_relocation(self.code, relocation).expect("the relocation is one of ELF's");
        }
        let ty = self.btf.function(name, self.scalars.int, &[("ctx", self.context)]);
        self.functions.push((start as u32, ty));
        for (insn, span) in &program.lines {
            let place = sources.place(*span);
            let info = LineInfo {
                insn_bytes: start as u32 + 8 * insn,
                file: self.btf.string(&place.file),
                text: self.btf.string(sources.line_text(*span)),
                line: place.line,
                column: place.column,
            };
            let same = |last: &&LineInfo| (last.file, last.line, last.column) == (info.file, info.line, info.column);
            if *insn == 0 || self.lines.last().filter(same).is_none() {
                self.lines.push(info);
            }
        }
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
        for (name, data) in state.into_iter().chain([(abi::CONST_SECTION, &self.constants)]) {
            if data.size > 0 {
                self.btf.section(name, data.size, &data.variables);
            }
        }
        let license = self.elf.add_section(Vec::new(), b"license".into(), SectionKind::Data);
        self.elf.append_section_data(license, LICENSE, 1);
        let section_name = self.btf.string(&self.profile.program.section);
        let ext = btf::ext(section_name, &self.functions, &self.lines);
        for (name, bytes) in [(".BTF", self.btf.finish()), (".BTF.ext", ext)] {
            let section = self.elf.add_section(Vec::new(), name.into(), SectionKind::Other);
            self.elf.section_mut(section).flags = SectionFlags::Elf { sh_type: SHT_PROGBITS, sh_flags: ElfFlags(0) };
            self.elf.append_section_data(section, &bytes, 4);
        }
        self.elf.write().map_err(|e| BpfError::Elf(e.to_string()))
    }
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
