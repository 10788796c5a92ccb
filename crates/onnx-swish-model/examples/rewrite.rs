//! What reading and writing alone cost: `rewrite IN OUT` puts one node in the place of every Sigmoid whose result the
//! next node multiplies, without asking whether that is right, and saves the result.
//!
//! It stands in for a whole rewriter in measurements, and shows the library's calls in their order.

use std::io::Write;
use std::time::Instant;

use onnx_swish_model::schema::NodeProto;
use onnx_swish_model::{Model, NodeId, SaveOptions, save};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = args.as_slice() else {
        return Err("usage: rewrite IN OUT".into());
    };
    let start = Instant::now();
    let model = Model::open(input)?;
    let opened = start.elapsed();
    let mut edit = model.edit();
    let mut replaced = 0;
    for (s, scope) in model.scopes().iter().enumerate() {
        for (n, pair) in scope.nodes().windows(2).enumerate() {
            let [first, second] = pair else { continue };
            let (first, second) = (model.node_ref(first), model.node_ref(second));
            if (first.op_type(), second.op_type()) != (b"Sigmoid", b"Mul") {
                continue;
            }
            let id = |node| NodeId {
                scope: s as u32,
                node: node as u32,
            };
            let fused = NodeProto {
                op_type: Some("FusedSilu".into()),
                domain: Some("onnx_swish".into()),
                input: first.inputs().map(|name| name.to_vec().into()).collect(),
                ..second.decode()?
            };
            edit.remove_node(id(n))?;
            edit.replace_node(id(n + 1), &[fused])?;
            replaced += 1;
        }
    }
    let spliced = edit.finish()?;
    let edited = start.elapsed();
    let options = SaveOptions {
        force: true,
        ..SaveOptions::default()
    };
    save(&model, &spliced, output.as_ref(), options)?;
    writeln!(
        std::io::stderr(),
        "{replaced} replaced; opened after {opened:.1?}, edited after {edited:.1?}, saved after {:.1?}",
        start.elapsed()
    )?;
    Ok(())
}
