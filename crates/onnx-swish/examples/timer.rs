//! Times a model on request, so that a script can take turns between engines.
//!
//! Given `timer <model> <shape, 1x3x224x224> <threads> <onnx-swish|no-codes|no-conv|tract|tract+vzeroupper>` and, on standard
//! input, a number of runs per line; promises a line with the least time of a run in milliseconds for each, and for the word
//! `profile` the time of every kind of operator, least of thirty runs, and an empty line; for `nodes` that of every operator.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use onnx_swish::{FuseOptions, Model, fuse};
use onnx_swish_tract::{Operators, Session};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, shape, threads, engine] = &*arguments else {
        return Err(
            "usage: timer <model> <shape> <threads> <onnx-swish|no-codes|no-conv|tract|tract+vzeroupper>"
                .into(),
        );
    };
    let shape = shape
        .split('x')
        .map(str::parse)
        .collect::<Result<Vec<usize>, _>>()?;
    let mut model = Model::open(path)?;
    let stock = engine.starts_with("tract");
    if !stock {
        model = fuse(&model, &FuseOptions::default())?.into_model()?;
    }
    let session = Session::builder(model.bytes().clone())
        .threads(threads.parse()?)
        .operators(if stock {
            Operators::Stock
        } else {
            Operators::OnnxSwish
        })
        .vzeroupper(engine != "tract")
        .convolutions(matches!(engine.as_str(), "onnx-swish" | "no-codes"))
        .codes(engine != "no-codes")
        .input_shape("", shape.clone())
        .build()?;
    let name = session
        .inputs()
        .first()
        .ok_or("the model has no input")?
        .name
        .clone();
    // Any values will do that are neither all alike nor subnormal.
    let mut state = 1u32;
    let input = ndarray::ArrayD::from_shape_fn(shape, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    });
    session.run([(&name, input.clone())])?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if matches!(line.trim(), "profile" | "nodes") {
            profile(&session, &name, &input, line.trim() == "nodes")?;
            continue;
        }
        let mut least = f64::INFINITY;
        for _ in 0..line.trim().parse::<usize>()? {
            let input = input.clone();
            let start = Instant::now();
            session.run([(&name, input)])?;
            least = least.min(start.elapsed().as_secs_f64() * 1e3);
        }
        println!("{least:.4}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn profile(
    session: &Session,
    name: &str,
    input: &ndarray::ArrayD<f32>,
    every_node: bool,
) -> Result<(), Box<dyn Error>> {
    let mut least: Vec<(String, f64)> = Vec::new();
    for _ in 0..30 {
        let (_, times) = session.run_timed([(name, input.clone())])?;
        for (i, node) in times.into_iter().enumerate() {
            let ms = node.time.as_secs_f64() * 1e3;
            match least.get_mut(i) {
                Some((_, own)) => *own = own.min(ms),
                None if every_node => least.push((format!("{} {}", node.op, node.node), ms)),
                None => least.push((node.op, ms)),
            }
        }
    }
    if every_node {
        for (node, ms) in &least {
            println!("{ms:.4} ms {node}");
        }
    }
    let mut kinds: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (op, ms) in &least {
        let kind = kinds.entry(op).or_default();
        *kind = (kind.0 + ms, kind.1 + 1);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    if every_node {
        kinds.clear();
    }
    kinds.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    for (op, (ms, count)) in kinds {
        println!("{ms:.3} ms {count} {op}");
    }
    println!();
    std::io::stdout().flush()?;
    Ok(())
}
