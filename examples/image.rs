//! Makes the images of the examples: `cargo run -p trav-runtime --example image -- list|bpfkv|ext4-file FILE`.

#[path = "bpfkv/image.rs"]
mod bpfkv;
#[path = "ext4/file.rs"]
mod ext4;
#[path = "list/image.rs"]
mod list;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let made = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list", file] => std::fs::write(file, list::image()),
        ["bpfkv", file] => std::fs::write(file, bpfkv::image()),
        ["ext4-file", file] => ext4::write(Path::new(file)),
        _ => {
            eprintln!("usage: image list|bpfkv|ext4-file FILE");
            return ExitCode::from(2);
        }
    };
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("image: {error}");
            ExitCode::FAILURE
        }
    }
}
