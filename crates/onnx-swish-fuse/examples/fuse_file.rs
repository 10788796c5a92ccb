//! Fuses a model file: `cargo run -p onnx-swish-fuse --example fuse_file -- IN [OUT] [custom|contrib|standard|expand]`.
//! The report goes to standard output as JSON.

use onnx_swish_fuse::{Emit, Options, analyze, apply, expand};
use onnx_swish_model::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments
        .first()
        .ok_or("usage: fuse_file IN [OUT] [custom|contrib|standard]")?;
    let emit = match arguments.get(2).map(String::as_str) {
        Some("contrib") => Emit::Contrib,
        Some("standard") => Emit::Standard,
        _ => Emit::Custom,
    };
    let model = Model::open(path)?;
    if arguments.get(2).map(String::as_str) == Some("expand") {
        let expansion = expand(&model)?;
        let out = arguments.get(1).ok_or("where to?")?;
        return Ok(std::fs::write(out, expansion.model.to_bytes())?);
    }
    let plan = analyze(&model, &Options::emit(emit));
    serde_json::to_writer(std::io::stdout(), &plan.report())?;
    if let Some(out) = arguments.get(1) {
        std::fs::write(out, apply(&model, &plan)?.to_bytes())?;
    }
    Ok(())
}
