//! `trav sim`: what a walk's reads would take on a device, by four ways through the kernel.
//!
//! The walk runs natively on the image; its reads are then put through the model of [`simulate`](trav_runtime::simulate). A hook counts
//! only where the walk fits it.

use super::run::{Call, check_sources, failure, open_images};
use super::{hooks, pairs};
use crate::failure::{self as report, Failure, Status};
use crate::load;
use crate::suggest::did_you_mean;
use clap::Args;
use serde_json::{Value as Json, json};
use std::io::Write;
use trav_compiler::bpf;
use trav_compiler::ir::verify::Verified;
use trav_runtime::call::Caller;
use trav_runtime::exec::{Effort, Engine, Hop, Outcome};
use trav_runtime::simulate::{Cost, Device, IN_FLIGHT, LAYERS, Way, cost};

/// Reckon what a walk takes on a device, by user space and by hooks in the kernel
#[derive(Debug, Args)]
pub struct Sim {
    #[command(flatten)]
    call: Call,
    /// optane, nand, or how long a read of 512 bytes takes: 12us, 800ns
    #[arg(long, value_name = "NAME")]
    device: String,
    /// Print one JSON object on one line
    #[arg(long)]
    json: bool,
}

impl Sim {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let device = device(&self.device)?;
        let given = pairs(&self.call.args)?;
        let compilation = load::compile_for(&self.call.file, &self.call.traversal, Effort::Many, &|_| {})?;
        let traversal = load::traversal(&compilation, &self.call.traversal)?;
        let images = open_images(&self.call.images, false)?;
        check_sources(&images, &compilation)?;
        let mut caller = Caller::new(Engine::Native, &compilation.traversals, &images);
        let answer = caller.call(&traversal.name, &given).map_err(failure)?;
        let hops = &answer.trace.hops;
        let costs = costs(answer.traversal, hops, &device)?;
        match self.json {
            true => writeln!(out, "{}", to_json(&answer.traversal.name, hops, &device, &costs))?,
            false => print(&answer.traversal.name, hops, &device, &costs, out)?,
        }
        match &answer.trace.outcome {
            Outcome::Done(_) => Ok(Status::Good),
            Outcome::Fault(fault) => {
                out.flush()?;
                let kind = answer.traversal.faults[fault.fault.index()].kind.name();
                report::tell(&format!("fault: {kind}: {}\n", fault.message(answer.traversal, hops)));
                Ok(Status::Fault)
            }
        }
    }
}

/// The cost by each way, or why the walk cannot take it.
type Costs = Vec<(Way, Result<Cost, String>)>;

fn costs(traversal: &Verified, hops: &[Hop], device: &Device) -> Result<Costs, Failure> {
    let fits = |way: Way| -> Result<Option<String>, Failure> {
        let hook = match way {
            Way::ReadLoop | Way::IoUring => return Ok(None),
            Way::SyscallHook => "uring",
            Way::DriverHook => "xrp",
        };
        let why = bpf::compile(traversal, &hooks::profile(hook)?).err();
        Ok(why.map(|why| format!("not by the hook `{hook}`: {why}")))
    };
    Way::ALL
        .into_iter()
        .map(|way| {
            let result = fits(way)?.map_or_else(|| Ok(cost(way, hops, device, LAYERS)), Err);
            Ok((way, result))
        })
        .collect()
}

/// A device by its name, or by the time of a read.
fn device(text: &str) -> Result<Device, Failure> {
    let known = Device::named();
    if let Some(device) = known.iter().find(|d| d.name == text) {
        return Ok(device.clone());
    }
    let number = |suffix: &str| text.strip_suffix(suffix).and_then(|n| n.parse::<u32>().ok()).map(u64::from);
    // Before `ns` and `us` there is a number; what only ends so is a name.
    match number("ns").or_else(|| number("us").map(|n| n * 1000)).or_else(|| number("ms").map(|n| n * 1_000_000)) {
        Some(read_ns) => Ok(Device { name: text.into(), source: "as given".into(), read_ns, bytes_per_us: None }),
        None => {
            let names: Vec<&str> = known.iter().map(|d| d.name.as_str()).collect();
            let near = did_you_mean(text, names.iter().copied());
            let names = names.join(", ");
            Err(Failure::call(format!("there is no device `{text}`{near}; expected {names} or a time such as 12us")))
        }
    }
}

fn bytes(hops: &[Hop]) -> u64 {
    hops.iter().fold(0, |sum: u64, hop| sum.saturating_add(hop.len))
}

fn to_json(name: &str, hops: &[Hop], device: &Device, costs: &Costs) -> Json {
    let ways: Vec<Json> = costs
        .iter()
        .map(|(way, result)| match result {
            Ok(cost) => json!({ "way": way.name(), "latency_ns": cost.latency, "processor_ns": cost.processor }),
            Err(why) => json!({ "way": way.name(), "refused": why }),
        })
        .collect();
    json!({
        "traversal": name, "device": device.name, "read_ns": device.read_ns, "hops": hops.len(), "bytes": bytes(hops),
        "ways": ways,
    })
}

fn print(name: &str, hops: &[Hop], device: &Device, costs: &Costs, out: &mut dyn Write) -> Result<(), Failure> {
    let us = |ns: u64| ns as f64 / 1e3;
    let reads = if hops.len() == 1 { "read" } else { "reads" };
    writeln!(out, "{name}: {} {reads}, {} bytes", hops.len(), bytes(hops))?;
    writeln!(out, "device `{}`: {:.1} us a read ({})", device.name, us(device.read_ns), device.source)?;
    writeln!(
        out,
        "{:<13} {:>12} {:>10} {:>15} {:>16}",
        "way", "latency us", "loop = 1", "processor us", "lookups a s, core"
    )?;
    let read_loop = costs.iter().find_map(|(_, cost)| cost.as_ref().ok());
    for (way, result) in costs {
        let name = way.name();
        match result {
            Ok(cost) => {
                let ratio = match read_loop {
                    Some(first) if first.latency > 0 => format!("{:.2}", cost.latency as f64 / first.latency as f64),
                    _ => "-".into(),
                };
                let rate = match cost.processor {
                    0 => "-".into(),
                    ns => format!("{:.0}", 1e9 / ns as f64),
                };
                let (latency, processor) = (us(cost.latency), us(cost.processor));
                writeln!(out, "{name:<13} {latency:>12.1} {ratio:>10} {processor:>15.2} {rate:>16}")?;
            }
            Err(why) => writeln!(out, "{name:<13} {why}")?,
        }
    }
    writeln!(
        out,
        "io_uring with {IN_FLIGHT} walks at once; a model, see `trav_runtime::simulate` for what it leaves out"
    )?;
    Ok(())
}
