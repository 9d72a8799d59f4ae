//! t
use trav_compiler::*;
struct L; impl Loader for L { fn load(&self,_:&[&str])->Option<(String,String)>{None} }
fn main(){ let p=std::env::args().nth(1).unwrap(); let t=std::fs::read_to_string(&p).unwrap();
 let c=compile(&p,&t,&L);
 for d in &c.diagnostics { let pl=c.sources.place(d.label.span); println!("{} {}:{}: {} [{}]\n   {:?} help={:?}", d.code, pl.line, pl.column, d.message, d.label.text, d.notes, d.help); }
 for f in &c.traversals { println!("{} blocks {} values {}", f.name, f.blocks.len(), f.values.len()); 
   for (b,d) in f.blocks() { println!("{b}{:?} {:?} {:?}", d.params, d.disk, d.header); for i in &d.insts { println!("   {:?} = {:?}   {:?}", i.result, i.op, i.result.map(|v| (f.value(v).range, f.value(v).name.clone()))); } println!("   {:?}", d.term); } } }
