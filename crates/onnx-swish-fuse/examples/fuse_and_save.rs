//! Fuses one file and times the steps: `fuse_and_save IN OUT`. What the command line's `fuse` does to a file, without
//! the command line.

use std::io::Write;
use std::time::Instant;

use onnx_swish_fuse::{Options, analyze, apply};
use onnx_swish_model::{Model, SaveOptions, save};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = args.as_slice() else {
        return Err("usage: fuse_and_save IN OUT".into());
    };
    let start = Instant::now();
    let model = Model::open(input)?;
    let opened = start.elapsed();
    let plan = analyze(&model, &Options::default());
    let analyzed = start.elapsed();
    let fused = apply(&model, &plan)?;
    let applied = start.elapsed();
    let options = SaveOptions {
        force: true,
        ..SaveOptions::default()
    };
    save(&model, &fused, output.as_ref(), options)?;
    writeln!(
        std::io::stderr(),
        "opened after {opened:.1?}, analysed after {analyzed:.1?}, applied after {applied:.1?}, saved after {:.1?}",
        start.elapsed()
    )?;
    Ok(())
}
