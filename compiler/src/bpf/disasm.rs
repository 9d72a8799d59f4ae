//! Reads any BPF object and prints its code: functions, the names that relocations put in, and lines of source where `.BTF.ext` has them.
//!
//! The input is not trusted: nothing here panics or grows beyond a small multiple of the file.

use super::insn::Insn;
use super::listing::write_code;
use object::elf::{EM_BPF, FileHeader64};
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionKind, SymbolKind};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Characters of a name or line that are shown: many records may name one long text.
const SHOWN_MAX: usize = 160;

/// A text of the file as it may go to a terminal.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

type Elf<'a> = ElfFile64<'a, LittleEndian>;
type Section<'a, 'f> = object::read::elf::ElfSection64<'a, 'f, LittleEndian>;

/// Prints the code of an object, section by section. The error says why it is none.
pub fn disassemble(object: &[u8]) -> Result<String, String> {
    let elf = Elf::parse(object).map_err(|e| format!("no little-endian 64-bit ELF file: {e}"))?;
    let header: &FileHeader64<LittleEndian> = elf.elf_header();
    let machine = header.e_machine.get(LittleEndian);
    if machine != EM_BPF {
        return Err(format!("expected machine 247 (BPF), found {}", machine.0));
    }
    let lines = Lines::of(&elf);
    let mut text = String::new();
    for section in elf.sections().filter(|s| s.kind() == SectionKind::Text) {
        let name = section.name().unwrap_or("?");
        let data = section.data().map_err(|e| format!("section {name}: {e}"))?;
        if !data.is_empty() {
            let _ = writeln!(text, "section {}:", shown(name));
            section_code(&mut text, &elf, &section, name, data, &lines);
        }
    }
    if text.is_empty() {
        return Err("the object has no code".into());
    }
    Ok(text)
}

fn section_code(
    text: &mut String,
    elf: &Elf<'_>,
    section: &Section<'_, '_>,
    name: &str,
    data: &[u8],
    lines: &Lines<'_>,
) {
    let insns: Vec<Insn> = data.chunks_exact(8).map(|b| Insn::decode(b.try_into().expect("eight bytes"))).collect();
    let mut functions: BTreeMap<usize, String> = BTreeMap::new();
    for symbol in elf.symbols().filter(|s| s.kind() == SymbolKind::Text && s.section_index() == Some(section.index())) {
        let at = symbol.address() as usize / 8;
        if at < insns.len() {
            functions.insert(at, shown(symbol.name().unwrap_or("?")));
        }
    }
    functions.entry(0).or_insert_with(|| shown(name));
    let relocations: BTreeMap<usize, String> =
        section.relocations().filter_map(|(at, r)| Some((at as usize / 8, symbol_name(elf, r.target())?))).collect();
    let places: BTreeMap<usize, String> = lines.of_section(name);
    let starts: Vec<usize> = functions.keys().copied().chain([insns.len()]).collect();
    for (span, function) in starts.windows(2).zip(functions.values()) {
        let _ = writeln!(text, "{function}:");
        let part = |all: &BTreeMap<usize, String>| {
            all.range(span[0]..span[1]).map(|(at, s)| (at - span[0], s.clone())).collect::<BTreeMap<_, _>>()
        };
        let relocations = part(&relocations).into_iter().map(|(at, name)| {
            let addend = insns[span[0] + at].imm;
            let is_address = insns[span[0] + at].op == super::insn::LD_IMM64 && addend != 0;
            (at, if is_address { format!("{name} + {addend:#x}") } else { name })
        });
        write_code(text, &insns[span[0]..span[1]], &part(&places), &relocations.collect());
    }
}

fn symbol_name(elf: &Elf<'_>, target: RelocationTarget) -> Option<String> {
    let RelocationTarget::Symbol(index) = target else { return None };
    let symbol = elf.symbol_by_index(index).ok()?;
    match symbol.name() {
        Ok(name) if !name.is_empty() => Some(shown(name)),
        _ => elf.section_by_index(symbol.section_index()?).ok()?.name().ok().map(shown),
    }
}

/// What `.BTF.ext` says of lines.
struct Lines<'a> {
    strings: &'a [u8],
    ext: &'a [u8],
}

impl<'a> Lines<'a> {
    fn of(elf: &Elf<'a>) -> Lines<'a> {
        let data = |name: &str| elf.section_by_name(name).and_then(|s| s.data().ok()).unwrap_or(&[]);
        let (btf, ext) = (data(".BTF"), data(".BTF.ext"));
        let strings = || {
            let (header, offset, len) = (word(btf, 4)?, word(btf, 16)?, word(btf, 20)?);
            let start = header.checked_add(offset)?;
            btf.get(start..start.checked_add(len)?)
        };
        Lines { strings: strings().unwrap_or(&[]), ext }
    }

    fn string(&self, offset: usize) -> String {
        let bytes = self.strings.get(offset..).unwrap_or(&[]);
        let bytes = &bytes[..bytes.len().min(4 * SHOWN_MAX)];
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        shown(&String::from_utf8_lossy(&bytes[..end]))
    }

    /// The places of a section, by instruction.
    fn of_section(&self, name: &str) -> BTreeMap<usize, String> {
        let mut places = BTreeMap::new();
        self.collect(name, &mut places);
        places
    }

    /// None at the first thing that makes no sense; what has been read until then stays.
    fn collect(&self, name: &str, places: &mut BTreeMap<usize, String>) -> Option<()> {
        let start = word(self.ext, 4)?.checked_add(word(self.ext, 16)?)?;
        let end = start.checked_add(word(self.ext, 20)?)?;
        let info = self.ext.get(start..end)?;
        let record = word(info, 0)?;
        if record < 16 {
            return None;
        }
        let mut at = 4usize;
        while at < info.len() {
            let (section, count) = (word(info, at)?, word(info, at + 4)?);
            let records = info.get(at + 8..(at + 8).checked_add(count.checked_mul(record)?)?)?;
            if self.string(section) == name {
                for r in records.chunks_exact(record) {
                    let (insn, file, text, place) = (word(r, 0)? / 8, word(r, 4)?, word(r, 8)?, word(r, 12)?);
                    places.insert(insn, format!("{}:{}: {}", self.string(file), place >> 10, self.string(text)));
                }
            }
            at += 8 + records.len();
        }
        Some(())
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}
