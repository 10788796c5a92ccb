//! Our rewrites of tract's graph: before its declutter, between that and its code generation, and after that.
//!
//! Given a graph of concrete shapes; promises the same numbers within the bounds that each pass documents.

mod activations;
mod as_divided;
mod bodies;
mod bounds;
mod codes;
mod counts;
mod elementary;
mod expansions;
mod gates;
mod heads;
mod margins;
mod norms;
mod planes;
mod products;
mod same;
mod selections;
mod sizes;
mod softmax;
mod strides;
mod tables;
#[cfg(test)]
mod written;

pub(crate) use bodies::rewrite as rewrite_bodies;
pub use tables::CodeTable;

use tract_core::internal::*;
use tract_core::optim::Optimizer;

use crate::conv::{self, Convolution, Convolutions};
use crate::load::{Operators, dequantized, watch_passes};

/// What the passes found on their way.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The graph's convolutions, ours and those that stay on tract.
    pub convolutions: Vec<Convolution>,
    /// What is computed from one 8-bit code.
    pub tables: Vec<CodeTable>,
    /// Why convolutions whose weights or images were codes compute with floats, by their node.
    pub floats: HashMap<String, String>,
}

/// Which of the rewrites that can be left out are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub convolutions: Convolutions,
    pub tables: bool,
    pub codes: bool,
}

/// When a pass runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before tract's declutter, whoever computes: what its rewrites would get wrong.
    Raw,
    /// On every graph: what it writes can also be stored in an archive.
    Loaded,
    /// On a graph that becomes an archive.
    Archived,
    /// On a graph that is about to run: it writes operators that NNEF does not know, and need not.
    BeforeRun,
    /// As `BeforeRun`, where regions between 8-bit codes are to be tables.
    BeforeRunWithTables,
    /// As `BeforeRun`, where convolutions are to be ours, and those of codes on the codes.
    BeforeRunWithCodes,
    /// As `BeforeRun`, about convolutions: they are listed, whoever computes them.
    BeforeRunOnConvolutions,
    /// After tract's code generation, whoever computes: what its operators get wrong.
    Lowered,
}

impl When {
    /// Whether these passes only make a graph faster. In the bodies of If, Loop and Scan they are left out: what they find is told of
    /// the nodes of the model.
    fn is_for_speed(self) -> bool {
        matches!(
            self,
            When::BeforeRunWithTables | When::BeforeRunWithCodes | When::BeforeRunOnConvolutions
        )
    }
}

/// A rewrite: named in errors, run once.
struct Pass {
    name: &'static str,
    when: When,
    run: fn(&mut TypedModel, &mut Findings, Convolutions) -> TractResult<()>,
}

/// Every rewrite, in the order in which they run. Convolutions take activations along, so these are ours first, and codes between
/// floats are activations.
const PASSES: &[Pass] = &[
    Pass {
        name: "softmax axes",
        when: When::Raw,
        run: |model, _, _| softmax::tell_axes_apart(model),
    },
    Pass {
        name: "expansions",
        when: When::Raw,
        run: |model, _, _| expansions::keep(model),
    },
    Pass {
        name: "expansions",
        when: When::Archived,
        run: |model, _, _| {
            expansions::give_back(model);
            Ok(())
        },
    },
    Pass {
        name: "margins",
        when: When::Raw,
        run: |model, _, _| margins::keep(model),
    },
    Pass {
        name: "casts to sizes",
        when: When::Raw,
        run: |model, _, _| sizes::keep_their_bits(model),
    },
    Pass {
        name: "padding that follows from sizes",
        when: When::Raw,
        run: |model, _, _| same::in_numbers(model),
    },
    Pass {
        name: "strides that tract would lose",
        when: When::Raw,
        run: |model, _, _| strides::keep(model),
    },
    Pass {
        name: "sizes that only outputs tell",
        when: When::Raw,
        run: |model, _, _| counts::keep_what_is_counted(model),
    },
    Pass {
        name: "arithmetic between codes",
        when: When::Raw,
        run: |model, _, _| tables::as_written::keep(model),
    },
    Pass {
        name: "quotients and factors",
        when: When::Raw,
        run: |model, _, _| as_divided::keep(model),
    },
    Pass {
        name: "activations",
        when: When::Loaded,
        run: |model, _, _| activations::take_over(model),
    },
    Pass {
        name: "softmax axes",
        when: When::Archived,
        run: |model, _, _| softmax::give_back(model),
    },
    Pass {
        name: "arithmetic as written",
        when: When::Archived,
        run: |model, _, _| {
            tables::as_written::give_all_back(model);
            Ok(())
        },
    },
    Pass {
        name: "operand checks",
        when: When::Archived,
        run: |model, _, _| crate::ops::operand::take_out(model),
    },
    Pass {
        name: "codes of weights",
        when: When::Archived,
        run: |model, _, _| {
            dequantized::forget(model);
            Ok(())
        },
    },
    Pass {
        name: "moves of codes",
        when: When::BeforeRunWithCodes,
        run: |model, _, _| codes::moves::take_over(model),
    },
    Pass {
        name: "tables",
        when: When::BeforeRunWithTables,
        run: |model, findings, _| {
            findings.tables = tables::take_over(model)?;
            Ok(())
        },
    },
    Pass {
        name: "codes",
        when: When::BeforeRunWithCodes,
        run: |model, findings, who| codes::take_over(model, who, findings),
    },
    Pass {
        name: "codes left in floats",
        when: When::BeforeRunOnConvolutions,
        run: |model, findings, who| codes::note_floats(model, who, findings),
    },
    Pass {
        name: "codes between floats",
        when: When::BeforeRunWithTables,
        run: |model, findings, _| tables::between_floats(model, &mut findings.tables),
    },
    Pass {
        name: "heads",
        when: When::BeforeRunOnConvolutions,
        run: |model, _, who| heads::merge(model, who),
    },
    Pass {
        name: "convolutions",
        when: When::BeforeRunOnConvolutions,
        run: |model, findings, who| {
            let others = conv::take_over(model, who, &findings.floats)?;
            findings.convolutions.extend(others);
            Ok(())
        },
    },
    Pass {
        name: "concatenations",
        when: When::BeforeRunOnConvolutions,
        run: |model, findings, _| conv::concatenated::take_out(model, &mut findings.convolutions),
    },
    Pass {
        name: "products",
        when: When::BeforeRunOnConvolutions,
        run: |model, _, who| products::take_over(model, who),
    },
    Pass {
        name: "regions of several codes",
        when: When::BeforeRunWithTables,
        run: |model, findings, _| tables::several::take_over(model, &mut findings.tables),
    },
    Pass {
        name: "normalisations",
        when: When::BeforeRun,
        run: |model, _, _| norms::take_over(model),
    },
    Pass {
        name: "planes",
        when: When::BeforeRunOnConvolutions,
        run: |model, _, who| planes::take_over(model, who),
    },
    Pass {
        name: "gates",
        when: When::BeforeRun,
        run: |model, _, _| gates::take_over(model),
    },
    Pass {
        name: "softmax",
        when: When::BeforeRun,
        run: |model, _, _| softmax::take_over(model),
    },
    Pass {
        name: "softmax of products",
        when: When::BeforeRun,
        run: |model, _, _| softmax::join_products(model),
    },
    Pass {
        name: "arithmetic as written",
        when: When::Lowered,
        run: |model, _, _| {
            tables::as_written::give_back(model);
            Ok(())
        },
    },
    Pass {
        name: "bounds",
        when: When::Lowered,
        run: |model, _, _| bounds::repair(model),
    },
    Pass {
        name: "elementary functions",
        when: When::Lowered,
        run: |model, _, _| elementary::take_over(model),
    },
    Pass {
        name: "selections",
        when: When::Lowered,
        run: |model, _, _| selections::take_over(model),
    },
];

/// Runs the passes for a graph that tract has not decluttered yet.
pub(crate) fn raw(model: &mut TypedModel) -> TractResult<()> {
    run(model, Convolutions::Tract, &|when| when == When::Raw)?;
    // Bodies are told by the graphs around them which of these matter.
    tables::as_written::drop_halves(model)
}

/// Runs the passes for a graph that may also be written out.
pub(crate) fn loaded(model: &mut TypedModel) -> TractResult<()> {
    run(model, Convolutions::Tract, &|when| when == When::Loaded).map(drop)
}

/// Runs the passes for a graph that is about to be written out, after [`loaded`].
pub(crate) fn archived(model: &mut TypedModel) -> TractResult<()> {
    run(model, Convolutions::Tract, &|when| when == When::Archived).map(drop)
}

/// Runs the passes for a graph that is about to run, after [`loaded`].
pub(crate) fn before_run(model: &mut TypedModel, wanted: Wanted) -> TractResult<Findings> {
    run(model, wanted.convolutions, &|when| match when {
        When::BeforeRun | When::BeforeRunOnConvolutions => true,
        When::BeforeRunWithTables => wanted.tables,
        When::BeforeRunWithCodes => wanted.codes && wanted.convolutions != Convolutions::Tract,
        When::Raw | When::Loaded | When::Archived | When::Lowered => false,
    })
}

/// From a graph after [`loaded`] to one that is ready to run: our passes and tract's code generation, as far as `operators` wants ours.
pub(crate) fn lower(
    model: &mut TypedModel,
    operators: Operators,
    wanted: Wanted,
) -> TractResult<Findings> {
    let findings = match operators {
        Operators::OnnxSwish => before_run(model, wanted)?,
        Operators::Stock | Operators::Reference => Findings::default(),
    };
    codegen(model)?;
    if operators != Operators::Stock {
        lowered(model)?;
    }
    Ok(findings)
}

/// tract's code generation, which lowers a graph to its machine's operators.
pub(crate) fn codegen(model: &mut TypedModel) -> TractResult<()> {
    let mut optimizer = Optimizer::codegen();
    watch_passes(&mut optimizer);
    model.optimize_with_session(&mut optimizer.session())
}

/// Runs the passes for a graph that tract has lowered to its machine's operators.
pub(crate) fn lowered(model: &mut TypedModel) -> TractResult<()> {
    run(model, Convolutions::Tract, &|when| when == When::Lowered).map(drop)
}

fn run(
    model: &mut TypedModel,
    convolutions: Convolutions,
    wanted: &dyn Fn(When) -> bool,
) -> TractResult<Findings> {
    let mut within = |body: &mut TypedModel| {
        run(body, convolutions, &|when| {
            wanted(when) && !when.is_for_speed()
        })
        .map(drop)
    };
    if wanted(When::Lowered) {
        bodies::rewrite_lowered(model, &mut within)?;
    } else {
        bodies::rewrite(model, &mut within)?;
    }
    let mut findings = Findings::default();
    for pass in PASSES.iter().filter(|pass| wanted(pass.when)) {
        (pass.run)(model, &mut findings, convolutions)
            .with_context(|| format!("in onnx-swish's pass \"{}\"", pass.name))?;
    }
    Ok(findings)
}
