//! What is computed from nothing but 8-bit codes and constants, element by element, and what of it becomes codes again.
//! Given: the graph and its facts.
//! Promises: true for every run and every call, and linear in the file. What lies between the two is the file's own arithmetic, whatever
//! it is, of one tensor of codes or of several; fusing there would move codes.

use std::collections::HashSet;

use super::borders::Borders;
use crate::facts::Facts;
use crate::graph::{Graph, Node, Source, Value};
use crate::ops::Op;
use crate::quantised::params::{Flaw, Quantiser, code, code_type, default_code};

/// What decides about the elements of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// Nothing is known yet.
    #[default]
    Unseen,
    /// Numbers that are the same in every run.
    Constant,
    /// For each element a code, or several, and constants.
    Code,
    /// What comes in over a border does.
    Open,
    /// Something else.
    Free,
}

/// Where values come from and go to.
#[derive(Default)]
pub(super) struct Between {
    borders: Borders,
    kinds: Vec<Kind>,
    /// Values that somebody wants in floats.
    wanted: Vec<bool>,
    /// Values that become codes, whatever else they become.
    ending: Vec<bool>,
    /// Scopes that were gone through.
    seen: HashSet<usize>,
}

/// What to do next.
enum Step {
    Enter(Node),
    Visit(Node),
}

impl Between {
    pub(super) fn new(graph: &Graph<'_>, facts: &mut Facts) -> Self {
        let scopes = 0..graph.scope_count();
        let mut nodes = scopes.clone().flat_map(|scope| graph.order(scope));
        if !nodes.any(|node| graph.op(node) == Op::DequantizeLinear) {
            return Self::default();
        }
        let count = graph.value_count();
        let mut between = Self {
            borders: Borders::new(graph, facts),
            kinds: vec![Kind::Unseen; count],
            ..Self::default()
        };
        // What is called stands before who calls it, and what a body gives back before what is made of it.
        for function in graph.functions() {
            let body = graph.function_scopes(function).first();
            body.into_iter()
                .for_each(|&body| between.scope(graph, facts, body));
        }
        scopes.for_each(|scope| between.scope(graph, facts, scope));
        between.free(graph);
        between.want(graph);
        between.end(graph);
        between
    }

    /// Whether 8-bit codes and constants alone decide about a value, element by element, which becomes codes only.
    pub(super) fn holds(&self, value: Value) -> bool {
        let is = |of: &[bool]| of.get(value.index()).copied().unwrap_or(false);
        matches!(self.kind(value), Kind::Code | Kind::Open) && is(&self.ending) && !is(&self.wanted)
    }

    fn scope(&mut self, graph: &Graph<'_>, facts: &mut Facts, scope: usize) {
        let mut steps = Vec::new();
        self.begin(graph, scope, &mut steps);
        while let Some(step) = steps.pop() {
            match step {
                Step::Visit(node) => self.come(graph, facts, node),
                Step::Enter(node) => {
                    steps.push(Step::Visit(node));
                    for body in graph.bodies(node) {
                        self.begin(graph, body, &mut steps);
                    }
                }
            }
        }
    }

    fn begin(&mut self, graph: &Graph<'_>, scope: usize, steps: &mut Vec<Step>) {
        if !self.seen.insert(scope) {
            return;
        }
        let given = graph.scope_inputs(scope).iter().copied();
        for input in given.filter(|&input| graph.source(input) == Source::Input) {
            let kind = if scope == 0 { Kind::Free } else { Kind::Open };
            self.set(input, kind);
        }
        let start = steps.len();
        steps.extend(graph.order(scope).map(Step::Enter));
        steps.get_mut(start..).unwrap_or_default().reverse();
    }

    fn kind(&self, value: Value) -> Kind {
        self.kinds.get(value.index()).copied().unwrap_or_default()
    }

    fn set(&mut self, value: Value, kind: Kind) {
        if let Some(slot) = self.kinds.get_mut(value.index()) {
            *slot = kind;
        }
    }

    /// The kind of an operand, constants among them.
    fn operand(&mut self, graph: &Graph<'_>, facts: &mut Facts, value: Value) -> Kind {
        let known = self.kind(value);
        if !matches!(known, Kind::Unseen | Kind::Open) {
            return known;
        }
        let kind = match self.is_constant(graph, facts, value) {
            true => Kind::Constant,
            false if known == Kind::Open => return known,
            false => Kind::Free,
        };
        self.set(value, kind);
        kind
    }

    /// Whether a value is the same in every run, however large it is.
    fn is_constant(&self, graph: &Graph<'_>, facts: &mut Facts, value: Value) -> bool {
        let stand_in = self.borders.stand_in(value);
        let is_stored = match graph.source(stand_in) {
            Source::Initializer(_) | Source::Sparse => true,
            Source::Node(node) => graph.op(node) == Op::Constant,
            Source::Input | Source::Nowhere => false,
        };
        is_stored || facts.constant(graph, stand_in).is_some()
    }

    fn come(&mut self, graph: &Graph<'_>, facts: &mut Facts, node: Node) {
        let op = graph.op(node);
        if op == Op::Unknown {
            return self.come_back(graph, node);
        }
        let kind = self.computed(graph, facts, node);
        let makes_data = if op == Op::Split { usize::MAX } else { 1 };
        for (position, &output) in graph.outputs(node).iter().enumerate() {
            let kind = if position < makes_data {
                kind
            } else {
                Kind::Free
            };
            self.set(output, kind);
        }
    }

    /// What an operator makes.
    fn computed(&mut self, graph: &Graph<'_>, facts: &mut Facts, node: Node) -> Kind {
        let op = graph.op(node);
        let output = graph.outputs(node).first().copied();
        if output.is_some_and(|output| facts.constant(graph, output).is_some()) {
            return Kind::Constant;
        }
        let quantises = matches!(op, Op::QuantizeLinear | Op::DequantizeLinear);
        if quantises && !self.is_linear(graph, facts, node) {
            return Kind::Free;
        }
        match op {
            Op::DequantizeLinear => Kind::Code,
            _ if quantises || moves(graph, node) || is_element_wise(op) => {
                self.operands(graph, facts, node)
            }
            _ => Kind::Free,
        }
    }

    /// What the data of a node are together.
    fn operands(&mut self, graph: &Graph<'_>, facts: &mut Facts, node: Node) -> Kind {
        let data = graph.op(node).data_inputs();
        let data = data.unwrap_or(0..usize::MAX);
        let inputs = graph.inputs(node).iter().take(data.end).skip(data.start);
        let mut kind = Kind::Unseen;
        for &input in inputs.filter(|input| !input.is_absent()) {
            kind = match (kind, self.operand(graph, facts, input)) {
                (_, Kind::Unseen | Kind::Free) => return Kind::Free,
                (Kind::Open, _) | (_, Kind::Open) => Kind::Open,
                (Kind::Code, _) | (_, Kind::Code) => Kind::Code,
                _ => Kind::Constant,
            };
        }
        if kind == Kind::Unseen {
            Kind::Free
        } else {
            kind
        }
    }

    /// Whether a quantiser's codes are of 8 bits, and its numbers the same in every run.
    fn is_linear(&self, graph: &Graph<'_>, facts: &mut Facts, node: Node) -> bool {
        let &[data, scale, ..] = graph.inputs(node) else {
            return false;
        };
        let zero = graph.inputs(node).get(2).copied();
        let zero = zero.filter(|zero| !zero.is_absent());
        let outside = |value| self.borders.stand_in(value);
        let code_type = match graph.op(node) {
            Op::DequantizeLinear => code_type(graph, outside(data)),
            _ => Some(default_code(graph, node)),
        };
        let quantiser = Quantiser::new(graph, facts, outside(scale), zero.map(outside), code_type);
        match quantiser.flaw {
            None => true,
            // A scale for each channel is a constant as any.
            Some(Flaw::PerChannel(_)) => {
                let mut numbers = [Some(scale), zero].into_iter().flatten();
                matches!(quantiser.code, Some(code::U8 | code::I8))
                    && numbers.all(|number| self.is_constant(graph, facts, number))
            }
            Some(_) => false,
        }
    }

    /// What bodies and functions give back.
    fn come_back(&mut self, graph: &Graph<'_>, node: Node) {
        for &output in graph
            .outputs(node)
            .iter()
            .filter(|output| !output.is_absent())
        {
            let mut kind = Kind::Unseen;
            for value in self.borders.back(output) {
                kind = match (kind, self.kind(value)) {
                    (Kind::Unseen | Kind::Code, Kind::Code) => Kind::Code,
                    (Kind::Unseen | Kind::Code | Kind::Open, Kind::Code | Kind::Open) => Kind::Open,
                    _ => Kind::Free,
                };
            }
            let kind = if kind == Kind::Unseen {
                Kind::Free
            } else {
                kind
            };
            self.set(output, kind);
        }
    }

    /// What comes in over a border, and what is made of it, is not of codes alone if not all that comes in is.
    fn free(&mut self, graph: &Graph<'_>) {
        let mut free: Vec<Value> = Vec::new();
        for value in graph.values() {
            let is_entry = graph.source(value) == Source::Input && self.kind(value) == Kind::Open;
            if is_entry && self.borders.back(value).next().is_none() {
                self.set(value, Kind::Free);
            }
            if matches!(self.kind(value), Kind::Free | Kind::Unseen) {
                free.push(value);
            }
        }
        while let Some(value) = free.pop() {
            let readers = graph.consumers(value).iter();
            // What these give back is what comes over the border.
            let readers = readers.filter(|&&node| {
                let op = graph.op(node);
                let data = op.data_inputs().map_or(0..usize::MAX, |data| data);
                let few = graph.inputs(node).iter().take(data.end).skip(data.start);
                !matches!(op, Op::Unknown | Op::DequantizeLinear)
                    && (data.end == usize::MAX || few.clone().any(|&input| input == value))
            });
            let made = readers.flat_map(|&node| graph.outputs(node)).copied();
            let made: Vec<Value> = made.chain(self.borders.onward(value)).collect();
            for value in made {
                if matches!(self.kind(value), Kind::Open | Kind::Code) {
                    self.set(value, Kind::Free);
                    free.push(value);
                }
            }
        }
    }

    /// Who wants floats: whoever makes something else of a value than is made of codes alone, and the caller of the model.
    fn want(&mut self, graph: &Graph<'_>) {
        let mut queue: Vec<Value> = self.borders.read.clone();
        queue.extend(graph.scope_outputs(0));
        for value in graph.values() {
            let is_read = !graph.consumers(value).is_empty() || graph.is_output(value);
            // The results of a function that nothing calls go who knows where.
            let is_lost = graph.is_output(value) && self.borders.onward(value).next().is_none();
            let is_free = matches!(self.kind(value), Kind::Free | Kind::Unseen);
            if is_read && is_free || is_lost && graph.value_scope(value) != 0 {
                queue.push(value);
            }
        }
        self.wanted = self.back(graph, queue);
    }

    /// These values and all that they are made of, over borders, up to the last codes before them.
    fn back(&self, graph: &Graph<'_>, mut queue: Vec<Value>) -> Vec<bool> {
        let mut reached = vec![false; graph.value_count()];
        let mut done = vec![false; graph.node_count()];
        while let Some(value) = queue.pop() {
            match reached.get_mut(value.index()) {
                Some(reached) if !*reached => *reached = true,
                _ => continue,
            }
            queue.extend(self.borders.back(value));
            queue.extend(behind(graph, value, &mut done));
        }
        reached
    }

    /// What becomes a code.
    fn end(&mut self, graph: &Graph<'_>) {
        let nodes = (0..graph.scope_count()).flat_map(|scope| graph.order(scope));
        let quantisers = nodes.filter(|&node| graph.op(node) == Op::QuantizeLinear);
        let ends = quantisers.filter_map(|node| {
            let code = graph.outputs(node).first()?;
            let is_code = matches!(self.kind(*code), Kind::Code | Kind::Open);
            graph.inputs(node).first().filter(|_| is_code)
        });
        let queue: Vec<Value> = ends.copied().collect();
        self.ending = self.back(graph, queue);
    }
}

/// What a value is made of in its own graph, said once for each node and up to the last code before it.
fn behind<'g>(graph: &'g Graph<'_>, value: Value, done: &mut [bool]) -> &'g [Value] {
    let Some(node) = graph.producer(value) else {
        return &[];
    };
    let ends = matches!(graph.op(node), Op::Unknown | Op::QuantizeLinear);
    match done.get_mut(node.index()) {
        Some(done) if !ends && !*done => *done = true,
        _ => return &[],
    }
    graph.inputs(node)
}

/// Whether each element of a result is an element of an operand.
fn moves(graph: &Graph<'_>, node: Node) -> bool {
    match graph.op(node) {
        Op::QuantizeLinear | Op::DequantizeLinear | Op::QLinearConcat | Op::QLinearWhere => false,
        Op::Resize | Op::Upsample => {
            let mode = graph.node(node).and_then(|node| node.attribute(b"mode"));
            mode.is_none() || graph.string(node, b"mode") == Some(b"nearest")
        }
        op => {
            op.moves_elements()
                || matches!(
                    op,
                    Op::Max | Op::Min | Op::ReduceMax | Op::ReduceMin | Op::GlobalMaxPool
                )
        }
    }
}

/// Whether an element of the result depends on the elements of the operands at one place.
fn is_element_wise(op: Op) -> bool {
    op.is_element_wise()
        || op.is_fused()
        || op.keeps_order()
        || matches!(
            op,
            Op::Mul
                | Op::Identity
                | Op::Dropout
                | Op::Transpose
                | Op::Cast
                | Op::CastLike
                | Op::Equal
                | Op::Less
                | Op::Greater
                | Op::LessOrEqual
                | Op::GreaterOrEqual
                | Op::And
                | Op::Or
                | Op::Xor
                | Op::Not
        )
}
