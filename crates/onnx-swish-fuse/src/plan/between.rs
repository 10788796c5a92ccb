//! What is computed from one 8-bit code alone, element by element, and what of it becomes codes again.
//! Given: the graph and its facts.
//! Promises: true for every run and every call, and linear in the file. Between the two lies what engines make a table of, whatever it is;
//! fusing there would move codes.

use std::collections::HashSet;

use super::borders::Borders;
use crate::facts::Facts;
use crate::graph::{Graph, Node, Source, Value};
use crate::ops::Op;
use crate::quantised::params::{Quantiser, code_type, default_code};

/// What decides about the elements of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// Nothing is known yet.
    #[default]
    Unseen,
    /// One number, the same in every run.
    Number,
    /// Numbers that the file stores.
    Stored,
    /// For each element one code.
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
    /// Two values with one origin have the same code at the same place.
    origins: Vec<Value>,
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
            origins: vec![Value::ABSENT; count],
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

    /// Whether for each element one 8-bit code alone decides about a value, which becomes codes only.
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
            self.set(input, kind, input);
        }
        let start = steps.len();
        steps.extend(graph.order(scope).map(Step::Enter));
        steps.get_mut(start..).unwrap_or_default().reverse();
    }

    fn kind(&self, value: Value) -> Kind {
        self.kinds.get(value.index()).copied().unwrap_or_default()
    }

    fn origin(&self, value: Value) -> Value {
        let origin = self.origins.get(value.index()).copied();
        origin.filter(|origin| !origin.is_absent()).unwrap_or(value)
    }

    fn set(&mut self, value: Value, kind: Kind, origin: Value) {
        let slots = (
            self.kinds.get_mut(value.index()),
            self.origins.get_mut(value.index()),
        );
        if let (Some(slot), Some(of)) = slots {
            (*slot, *of) = (kind, origin);
        }
    }

    /// The kind of an operand, constants among them.
    fn operand(&mut self, graph: &Graph<'_>, facts: &mut Facts, value: Value) -> Kind {
        let known = self.kind(value);
        if !matches!(known, Kind::Unseen | Kind::Open) {
            return known;
        }
        let stand_in = self.borders.stand_in(value);
        let kind = match facts.constant(graph, stand_in) {
            Some(constant) if constant.number().is_some() => Kind::Number,
            Some(_) => Kind::Stored,
            None if known == Kind::Open => return known,
            None => Kind::Free,
        };
        self.set(value, kind, value);
        kind
    }

    fn come(&mut self, graph: &Graph<'_>, facts: &mut Facts, node: Node) {
        let op = graph.op(node);
        if op == Op::Unknown {
            return self.come_back(graph, node);
        }
        let (kind, origin) = self.computed(graph, facts, node);
        let makes_data = if op == Op::Split { usize::MAX } else { 1 };
        for (position, &output) in graph.outputs(node).iter().enumerate() {
            if output.is_absent() {
                continue;
            }
            let own = facts.numbering.of(output);
            let kind = if position < makes_data {
                kind
            } else {
                Kind::Free
            };
            self.set(output, kind, origin.unwrap_or(own));
        }
    }

    /// What an operator makes, and the origin of it if it is not its own.
    fn computed(
        &mut self,
        graph: &Graph<'_>,
        facts: &mut Facts,
        node: Node,
    ) -> (Kind, Option<Value>) {
        let op = graph.op(node);
        let output = graph.outputs(node).first().copied();
        let constant = output.and_then(|output| facts.constant(graph, output));
        if let Some(constant) = constant {
            let is_number = constant.number().is_some();
            return (
                if is_number {
                    Kind::Number
                } else {
                    Kind::Stored
                },
                None,
            );
        }
        let (moves, computes) = (moves(graph, node), is_element_wise(op));
        let quantises = matches!(op, Op::QuantizeLinear | Op::DequantizeLinear);
        if !moves && !computes && !quantises || quantises && !self.is_table(graph, facts, node) {
            return (Kind::Free, None);
        }
        let (kind, common) = self.operands(graph, facts, node, moves);
        let code = graph.inputs(node).first().copied();
        match op {
            // A code is where a number comes from, if nothing before it is.
            Op::DequantizeLinear if kind == Kind::Code => (kind, common),
            Op::DequantizeLinear => (Kind::Code, code.map(|code| facts.numbering.of(code))),
            Op::QuantizeLinear if kind == Kind::Open => (kind, None),
            _ if computes && kind != Kind::Free => match common {
                Some(common) => (kind, Some(common)),
                None if moves => (kind, None),
                None => (Kind::Free, None),
            },
            _ => (kind, common.filter(|_| quantises)),
        }
    }

    /// What the data of a node are together, and the origin that they have in common.
    fn operands(
        &mut self,
        graph: &Graph<'_>,
        facts: &mut Facts,
        node: Node,
        moves: bool,
    ) -> (Kind, Option<Value>) {
        let data = graph
            .op(node)
            .data_inputs()
            .map_or(usize::MAX, |data| data.end);
        let start = graph.op(node).data_inputs().map_or(0, |data| data.start);
        let (mut kind, mut common, mut differ) = (Kind::Unseen, None, false);
        for &input in graph.inputs(node).iter().take(data).skip(start) {
            if input.is_absent() {
                continue;
            }
            let is_code_first = graph.op(node) == Op::DequantizeLinear;
            match self.operand(graph, facts, input) {
                Kind::Number if !is_code_first => continue,
                Kind::Stored if moves => continue,
                Kind::Open => kind = Kind::Open,
                Kind::Code if kind != Kind::Open => kind = Kind::Code,
                Kind::Code => {}
                Kind::Unseen | Kind::Number | Kind::Stored | Kind::Free => {
                    return (Kind::Free, None);
                }
            }
            let origin = self.origin(input);
            differ |= common.is_some_and(|common| common != origin);
            common = Some(origin);
        }
        match kind {
            Kind::Unseen => (Kind::Free, None),
            kind => (kind, common.filter(|_| !differ)),
        }
    }

    /// Whether a quantiser's codes are of 8 bits, and its numbers the same in every run.
    fn is_table(&self, graph: &Graph<'_>, facts: &mut Facts, node: Node) -> bool {
        let &[code, scale, ..] = graph.inputs(node) else {
            return false;
        };
        let zero = graph.inputs(node).get(2).copied();
        let zero = zero.filter(|zero| !zero.is_absent());
        let outside = |value| self.borders.stand_in(value);
        let code = match graph.op(node) {
            Op::DequantizeLinear => code_type(graph, outside(code)),
            _ => Some(default_code(graph, node)),
        };
        let quantiser = Quantiser::new(graph, facts, outside(scale), zero.map(outside), code);
        quantiser.flaw.is_none()
    }

    /// What bodies and functions give back.
    fn come_back(&mut self, graph: &Graph<'_>, node: Node) {
        for &output in graph
            .outputs(node)
            .iter()
            .filter(|output| !output.is_absent())
        {
            let (mut kind, mut origins) = (Kind::Unseen, HashSet::new());
            for value in self.borders.back(output) {
                kind = match (kind, self.kind(value)) {
                    (Kind::Unseen | Kind::Code, Kind::Code) => Kind::Code,
                    (Kind::Unseen | Kind::Code | Kind::Open, Kind::Code | Kind::Open) => Kind::Open,
                    _ => Kind::Free,
                };
                origins.insert(self.outside(graph, node, self.origin(value)));
            }
            let kind = if kind == Kind::Unseen {
                Kind::Free
            } else {
                kind
            };
            let mut origins = origins.into_iter();
            let origin = match (origins.next(), origins.next()) {
                (Some(Some(one)), None) => one,
                _ => output,
            };
            self.set(output, kind, origin);
        }
    }

    /// What the origin of a body's or function's result is to who reads that, if it is one of theirs.
    fn outside(&self, graph: &Graph<'_>, node: Node, origin: Value) -> Option<Value> {
        if let Some(function) = graph.callee(node) {
            let position = self.borders.position(origin)?;
            let body = graph.function_scopes(function).first()?;
            let is_own = graph.value_scope(origin) as usize == *body;
            let argument = graph.inputs(node).get(position).copied();
            return argument
                .filter(|_| is_own)
                .map(|argument| self.origin(argument));
        }
        let scope = graph.value_scope(origin) as usize;
        (!graph.bodies(node).any(|body| body == scope)).then_some(origin)
    }

    /// What comes in over a border, and what is made of it, is not of codes alone if not all that comes in is.
    fn free(&mut self, graph: &Graph<'_>) {
        let mut free: Vec<Value> = Vec::new();
        for value in graph.values() {
            let is_entry = graph.source(value) == Source::Input && self.kind(value) == Kind::Open;
            if is_entry && self.borders.back(value).next().is_none() {
                self.set(value, Kind::Free, value);
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
                    self.set(value, Kind::Free, value);
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
            Op::Mul | Op::Identity | Op::Dropout | Op::Transpose | Op::Cast | Op::CastLike
        )
}
