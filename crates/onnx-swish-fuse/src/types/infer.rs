//! Element types of a whole file, from declarations, signatures and calls.
//! Given: the graph.
//! Promises: three passes at most: forward, and where types stay open once backward and forward again. A type that passes
//! through a function is found whatever the function's callers give it.

use super::DataType;
use super::signature::{Input, Rule, Signature, VARIABLES, Variable};
use crate::graph::{Attribute, Graph, Node, Source, Value};

/// The element type of each value.
pub(crate) fn infer(graph: &Graph<'_>) -> Vec<DataType> {
    let mut types = Types {
        graph,
        types: vec![DataType::UNKNOWN; graph.value_count()],
        results: Vec::new(),
    };
    for value in graph.values() {
        if !matches!(graph.source(value), Source::Node(_)) {
            types.set(value, declared(graph, value));
        }
    }
    if graph.has_calls() {
        types.summarise();
    }
    for scope in 0..graph.scope_count() {
        if graph.function_of(scope as u32).is_none() || !graph.has_calls() {
            types.forward(scope);
        }
    }
    if graph.has_calls() {
        types.instantiate();
    }
    if types.has_open() {
        for scope in (0..graph.scope_count()).rev() {
            types.backward(scope);
        }
        for scope in 0..graph.scope_count() {
            types.forward(scope);
        }
    }
    types.types
}

/// What the file itself says of a value.
fn declared(graph: &Graph<'_>, value: Value) -> DataType {
    let stored = graph.initializer_code(value);
    let code = stored.or_else(|| graph.declared_code(value));
    code.map_or(DataType::UNKNOWN, DataType::from_code)
}

/// Type variables of one node.
type Variables = [DataType; VARIABLES];

struct Types<'a, 'm> {
    graph: &'a Graph<'m>,
    types: Vec<DataType>,
    /// For each function, the types of its outputs, where those of its inputs stand for themselves.
    results: Vec<Vec<DataType>>,
}

impl Types<'_, '_> {
    fn get(&self, value: Value) -> DataType {
        self.types.get(value.index()).copied().unwrap_or_default()
    }

    fn set(&mut self, value: Value, data_type: DataType) {
        if let Some(slot) = self.types.get_mut(value.index()) {
            *slot = data_type;
        }
    }

    /// Sets what is still open.
    fn refine(&mut self, value: Value, data_type: DataType) {
        if let Some(slot) = self.types.get_mut(value.index())
            && slot.is_open()
        {
            *slot = slot.meet(data_type).unwrap_or(*slot);
        }
    }

    fn has_open(&self) -> bool {
        self.types.iter().any(|data_type| data_type.is_open())
    }

    /// Functions, callees first, with a stand-in for the type of each input.
    fn summarise(&mut self) {
        let graph = self.graph;
        self.results = vec![Vec::new(); graph.model().functions().len()];
        for function in graph.functions() {
            let scopes = graph.function_scopes(function);
            let Some(&body) = scopes.first() else {
                continue;
            };
            for (position, &input) in graph.scope_inputs(body).iter().enumerate() {
                self.refine(input, DataType::parameter(position));
            }
            for &scope in scopes {
                self.forward(scope);
            }
            let outputs = graph.scope_outputs(body).iter();
            let results: Vec<DataType> = outputs.map(|&output| self.get(output)).collect();
            if let Some(slot) = self.results.get_mut(function) {
                *slot = results;
            }
        }
    }

    /// Functions, callers first: the stand-ins become the types that all callers agree on.
    fn instantiate(&mut self) {
        let graph = self.graph;
        for function in graph.functions().rev() {
            let scopes = graph.function_scopes(function);
            let Some(&body) = scopes.first() else {
                continue;
            };
            let count = graph.scope_inputs(body).len();
            let given: Vec<DataType> = (0..count)
                .map(|position| self.given(function, position))
                .collect();
            for &scope in scopes {
                for &input in graph.scope_inputs(scope) {
                    self.instantiate_value(input, &given);
                }
                for node in graph.order(scope) {
                    for &output in graph.outputs(node) {
                        self.instantiate_value(output, &given);
                    }
                }
            }
        }
    }

    /// The type of a function's input, as all callers give it.
    fn given(&self, function: usize, position: usize) -> DataType {
        let given = self.graph.callers(function).iter().map(|&caller| {
            let input = self.graph.inputs(caller).get(position).copied();
            input.map_or(DataType::UNKNOWN, |input| self.get(input))
        });
        given.reduce(DataType::join).unwrap_or_default()
    }

    fn instantiate_value(&mut self, value: Value, given: &[DataType]) {
        if let Some(position) = self.get(value).as_parameter() {
            self.set(value, given.get(position).copied().unwrap_or_default());
        }
    }

    fn forward(&mut self, scope: usize) {
        let graph = self.graph;
        for node in graph.order(scope) {
            match graph.signature(node) {
                Some(signature) => self.apply(node, signature),
                None => self.call(node),
            }
            for &output in graph.outputs(node) {
                if self.get(output).is_open() {
                    let declared = graph.declared_code(output);
                    self.refine(
                        output,
                        declared.map_or(DataType::UNKNOWN, DataType::from_code),
                    );
                }
            }
        }
    }

    /// Outputs of an operator that the table knows.
    fn apply(&mut self, node: Node, signature: &Signature) {
        let graph = self.graph;
        if let (Some((variable, count)), &[output]) =
            (signature.only_variable(), graph.outputs(node))
        {
            let inputs = graph.inputs(node).iter().take(count);
            let known = inputs.fold(DataType::UNKNOWN, |known, &input| {
                if input.is_absent() {
                    known
                } else {
                    narrow(known, self.get(input), variable)
                }
            });
            self.refine(output, narrow(known, DataType::UNKNOWN, variable));
            return;
        }
        let variables = self.variables(node, signature);
        for (position, &output) in graph.outputs(node).iter().enumerate() {
            if !output.is_absent() {
                let data_type = self.evaluate(node, signature, position, &variables);
                self.refine(output, data_type);
            }
        }
    }

    /// Outputs of a function of the file.
    fn call(&mut self, node: Node) {
        let graph = self.graph;
        let Some(function) = graph.callee(node).filter(|_| graph.has_calls()) else {
            return;
        };
        let body = graph.function_scopes(function).first().copied();
        for (position, &output) in graph.outputs(node).iter().enumerate() {
            let result = self.results.get(function).and_then(|r| r.get(position));
            let mut data_type = result.copied().unwrap_or_default();
            if let Some(parameter) = data_type.as_parameter() {
                let argument = graph.inputs(node).get(parameter).copied();
                data_type = argument.map_or(DataType::UNKNOWN, |argument| self.get(argument));
            }
            if data_type.is_open()
                && let Some(&inside) = body.and_then(|body| graph.scope_outputs(body).get(position))
                && self.get(inside).as_parameter().is_none()
            {
                data_type = data_type.meet(self.get(inside)).unwrap_or(data_type);
            }
            self.refine(output, data_type);
        }
    }

    /// What a node's inputs say of its type variables.
    fn variables(&self, node: Node, signature: &Signature) -> Variables {
        let mut variables = [DataType::UNKNOWN; VARIABLES];
        for (position, &input) in self.graph.inputs(node).iter().enumerate() {
            if let Input::Like(variable) = signature.input(position)
                && !input.is_absent()
                && let Some(slot) = variables.get_mut(variable.index())
            {
                *slot = narrow(*slot, self.get(input), variable);
            }
        }
        variables
    }

    /// The type of an output.
    fn evaluate(
        &self,
        node: Node,
        signature: &Signature,
        position: usize,
        variables: &Variables,
    ) -> DataType {
        let rules = signature.output(position);
        for rule in rules {
            let data_type = match *rule {
                Rule::Unknown => DataType::UNKNOWN,
                Rule::Is(data_type) => data_type,
                Rule::Like(variable) => {
                    // With a further rule behind it, a variable that no input has says nothing.
                    if rules.len() > 1 && !self.has_variable(node, signature, variable) {
                        continue;
                    }
                    let known = variables.get(variable.index()).copied();
                    narrow(known.unwrap_or_default(), DataType::UNKNOWN, variable)
                }
                Rule::Attribute(name) => match self.attribute(node, name.as_bytes()) {
                    Attribute::Is(data_type) => data_type,
                    Attribute::Absent => continue,
                    Attribute::Unknown => DataType::UNKNOWN,
                },
                Rule::Body(back) => self.body(node, position.saturating_add(back)),
            };
            return data_type;
        }
        DataType::UNKNOWN
    }

    fn has_variable(&self, node: Node, signature: &Signature, variable: Variable) -> bool {
        let inputs = self.graph.inputs(node).iter().enumerate();
        inputs
            .filter(|(_, input)| !input.is_absent())
            .any(|(position, _)| signature.input(position) == Input::Like(variable))
    }

    /// A type that an attribute names; 0 is the same as none.
    fn attribute(&self, node: Node, name: &[u8]) -> Attribute<DataType> {
        if name == b"value" {
            return self.graph.constant_code(node);
        }
        match self.graph.int(node, name) {
            Attribute::Is(0) | Attribute::Absent => Attribute::Absent,
            Attribute::Is(code) => {
                Attribute::Is(DataType::from_code(i32::try_from(code).unwrap_or(i32::MAX)))
            }
            Attribute::Unknown => Attribute::Unknown,
        }
    }

    /// The type that all graphs inside a node give out at a position.
    fn body(&self, node: Node, position: usize) -> DataType {
        let graph = self.graph;
        let inside = graph.bodies(node).map(|scope| {
            let output = graph.scope_outputs(scope).get(position).copied();
            output.map_or(DataType::UNKNOWN, |output| {
                let known = self.get(output);
                if known == DataType::UNKNOWN {
                    declared(graph, output)
                } else {
                    known
                }
            })
        });
        // One branch that knows is enough: both must agree.
        inside
            .reduce(|a, b| a.meet(b).unwrap_or_default())
            .unwrap_or_default()
    }

    /// From what is known of a node's inputs and outputs to the inputs that are still open.
    fn backward(&mut self, scope: usize) {
        let graph = self.graph;
        let order: Vec<Node> = graph.order(scope).collect();
        for &node in order.iter().rev() {
            let Some(signature) = graph.signature(node) else {
                continue;
            };
            let open = |value: &Value| !value.is_absent() && self.get(*value).is_open();
            if !graph.inputs(node).iter().any(open) {
                continue;
            }
            let mut variables = self.variables(node, signature);
            for (position, &output) in graph.outputs(node).iter().enumerate() {
                if let [Rule::Like(variable)] = signature.output(position)
                    && let Some(slot) = variables.get_mut(variable.index())
                {
                    *slot = narrow(*slot, self.get(output), *variable);
                }
            }
            for (position, &input) in graph.inputs(node).iter().enumerate() {
                let data_type = match signature.input(position) {
                    Input::Free => continue,
                    Input::Is(data_type) => data_type,
                    Input::Like(variable) => {
                        variables.get(variable.index()).copied().unwrap_or_default()
                    }
                };
                self.refine(input, data_type);
            }
        }
    }
}

/// What is known of a variable after one more statement. Statements that contradict each other say nothing, but that a
/// float is a float.
fn narrow(known: DataType, more: DataType, variable: Variable) -> DataType {
    let least = if variable.is_float() {
        DataType::FLOAT
    } else {
        DataType::UNKNOWN
    };
    let both = known.meet(more).and_then(|both| both.meet(least));
    both.unwrap_or(least)
}
