//! Models as text, and what they compute: everything that the recognition tests share.
//! Given: lines like `s = Sigmoid(x); y = Mul(x, s)`.
//! Promises: real ONNX bytes, and numbers from a plain interpreter in f64 that knows nothing of this crate.
#![allow(dead_code, clippy::indexing_slicing)]

pub mod codes;
pub mod evaluate;
/// The same second opinion as the fuzz target's.
#[path = "../../../../tests/fuzz/silent.rs"]
pub mod gates;
pub mod table;
pub mod text;

use onnx_swish_fuse::{Emit, Options, Report, analyze, apply, expand};
use onnx_swish_model::{Model, schema};
use prost::Message;

/// A model to be tried.
#[derive(Debug, Clone)]
pub struct Net {
    pub inputs: String,
    pub outputs: String,
    pub constants: String,
    pub body: String,
    pub functions: Vec<schema::FunctionProto>,
    pub imports: Vec<(String, i64)>,
    pub opset: i64,
    pub ir: i64,
}

impl Net {
    /// `y = f(x)` with x and y of shape `[2, 8, 4, 4]`, and the constants that hard-swish is made of at hand.
    pub fn new(body: &str) -> Self {
        Self {
            inputs: "float[2,8,4,4] x".into(),
            outputs: "float[2,8,4,4] y".into(),
            constants: "float zero = 0; float half = 0.5; float one = 1; float mone = -1; float two = 2; float three = 3; float six = 6; float sixth = 0.16666667"
                .into(),
            body: body.into(),
            functions: Vec::new(),
            imports: Vec::new(),
            opset: 17,
            ir: 8,
        }
    }

    pub fn inputs(mut self, inputs: &str) -> Self {
        self.inputs = inputs.into();
        self
    }

    pub fn outputs(mut self, outputs: &str) -> Self {
        self.outputs = outputs.into();
        self
    }

    pub fn constants(mut self, constants: &str) -> Self {
        self.constants = constants.into();
        self
    }

    /// Constants besides those at hand.
    pub fn and(mut self, constants: &str) -> Self {
        self.constants = format!("{}; {constants}", self.constants);
        self
    }

    pub fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }

    pub fn ir(mut self, ir: i64) -> Self {
        self.ir = ir;
        self
    }

    /// A function `domain::name(inputs) -> outputs`, imported by the model.
    pub fn function(
        mut self,
        domain: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
        body: &str,
    ) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| text::bytes(name)).collect();
        self.functions.push(schema::FunctionProto {
            name: Some(text::bytes(name)),
            domain: Some(text::bytes(domain)),
            input: names(inputs),
            output: names(outputs),
            node: text::nodes(body),
            opset_import: vec![text::opset("", self.opset)],
            ..Default::default()
        });
        if !self.imports.iter().any(|(known, _)| known == domain) {
            self.imports.push((domain.into(), 1));
        }
        self
    }

    pub fn proto(&self) -> schema::ModelProto {
        let graph = schema::GraphProto {
            name: Some(text::bytes("g")),
            input: text::values(&self.inputs),
            output: text::values(&self.outputs),
            initializer: text::constants(&self.constants),
            node: text::nodes(&self.body),
            ..Default::default()
        };
        let mut imports = vec![text::opset("", self.opset)];
        imports.extend(
            self.imports
                .iter()
                .map(|(domain, version)| text::opset(domain, *version)),
        );
        schema::ModelProto {
            ir_version: Some(self.ir),
            opset_import: imports,
            graph: Some(graph),
            functions: self.functions.clone(),
            ..Default::default()
        }
    }

    pub fn model(&self) -> Model {
        model(&self.proto())
    }
}

/// The model that a message is.
pub fn model(proto: &schema::ModelProto) -> Model {
    Model::from_bytes(proto.encode_to_vec()).expect("the test's model is well formed")
}

/// Decodes what was written.
pub fn decode(bytes: &[u8]) -> schema::ModelProto {
    schema::ModelProto::decode(bytes::Bytes::copy_from_slice(bytes))
        .expect("what we write is protobuf")
}

/// What fusing gives.
pub struct Fused {
    pub report: Report,
    pub bytes: Vec<u8>,
    pub proto: schema::ModelProto,
}

impl Fused {
    /// `silu 1, hard_swish 2`, in the order of the contract.
    pub fn counts(&self) -> String {
        use onnx_swish_fuse::ActivationKind::{HardSwish, Silu, Swish};
        let kinds = [("silu", Silu), ("swish", Swish), ("hard_swish", HardSwish)];
        let counted: Vec<String> = kinds
            .into_iter()
            .map(|(name, kind)| {
                (
                    name,
                    self.report
                        .fusions
                        .iter()
                        .filter(|f| f.activation == kind)
                        .count(),
                )
            })
            .filter(|&(_, count)| count > 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        counted.join(", ")
    }

    /// The kinds of near misses, sorted.
    pub fn reasons(&self) -> Vec<&str> {
        let mut reasons: Vec<&str> = self
            .report
            .near_misses
            .iter()
            .map(|miss| &miss.reason[..])
            .collect();
        reasons.sort_unstable();
        reasons
    }
}

/// Fuses and checks what must hold of every model: the same bytes when there is nothing to do, the same bytes when done
/// twice, unique names, declared domains, no value read that nothing makes.
pub fn fuse(model: &Model, emit: Emit) -> Fused {
    let fused = fuse_unchecked(model, emit);
    sound(&fused.proto);
    fused
}

/// The same for models whose inputs need not be declared.
pub fn fuse_unchecked(model: &Model, emit: Emit) -> Fused {
    let options = Options::emit(emit);
    let plan = analyze(model, &options);
    let report = plan.report();
    let bytes = apply(model, &plan)
        .expect("a plan applies to its model")
        .to_bytes()
        .to_vec();
    if report.fusions.is_empty() {
        assert_eq!(
            bytes,
            model.bytes()[..],
            "nothing to fuse, and yet the file changed"
        );
    }
    let again = Model::from_bytes(bytes.clone()).expect("what we write can be read");
    let plan = analyze(&again, &options);
    let twice = apply(&again, &plan)
        .expect("a plan applies to its model")
        .to_bytes();
    assert!(
        twice[..] == bytes[..],
        "fusing twice changed the file again: {:?}",
        plan.report()
    );
    let proto = decode(&bytes);
    Fused {
        report,
        bytes,
        proto,
    }
}

/// Expands and checks that nothing of ours is left.
pub fn expanded(bytes: &[u8]) -> schema::ModelProto {
    let model = Model::from_bytes(bytes.to_vec()).expect("what we write can be read");
    let expansion = expand(&model).expect("a model can be expanded");
    assert!(expansion.kept.is_empty(), "kept: {:?}", expansion.kept);
    let proto = decode(&expansion.model.to_bytes());
    sound(&proto);
    assert!(
        proto
            .opset_import
            .iter()
            .all(|import| import.domain() != b"onnx_swish")
    );
    assert!(
        proto
            .functions
            .iter()
            .all(|function| function.domain() != b"onnx_swish")
    );
    proto
}

/// Every value has one producer and stands before its readers; domains in use are imported; called functions exist.
pub fn sound(proto: &schema::ModelProto) {
    let graph = proto.graph.as_ref().expect("a model has a graph");
    let imported: Vec<&[u8]> = proto
        .opset_import
        .iter()
        .map(|import| import.domain())
        .collect();
    let ours = |node: &schema::NodeProto| {
        if node.domain() == b"onnx_swish" {
            assert!(
                imported.contains(&&b"onnx_swish"[..]),
                "our domain is not imported"
            );
            let function = proto
                .functions
                .iter()
                .find(|f| f.name() == node.op_type() && f.domain() == b"onnx_swish");
            let function = function.expect("each of our operators has its function");
            assert!(
                proto.ir_version() >= 8,
                "functions need version 8 of the format"
            );
            assert_eq!(
                node.input.len(),
                function.input.len(),
                "a call gives what its function takes"
            );
        }
    };
    let mut known: std::collections::HashSet<&[u8]> = std::collections::HashSet::from([&b""[..]]);
    known.extend(graph.input.iter().map(|value| value.name()));
    known.extend(graph.initializer.iter().map(|tensor| tensor.name()));
    for node in &graph.node {
        ours(node);
        for input in &node.input {
            assert!(
                known.contains(&input[..]),
                "nothing before it makes {input:?}"
            );
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            assert!(known.insert(output), "two things make {output:?}");
        }
    }
    for output in &graph.output {
        assert!(
            known.contains(output.name()),
            "an output is gone: {output:?}"
        );
    }
    for info in &graph.value_info {
        assert!(
            known.contains(info.name()),
            "a value_info is left of a value that is gone: {info:?}"
        );
    }
    for function in &proto.functions {
        function.node.iter().for_each(ours);
        if function
            .node
            .iter()
            .any(|node| node.domain() == b"onnx_swish")
        {
            assert!(
                function
                    .opset_import
                    .iter()
                    .any(|import| import.domain() == b"onnx_swish")
            );
        }
    }
}

/// Fuses, compares the numbers of before, after and expanded, and says what was found.
pub fn check(net: &Net, emit: Emit) -> Fused {
    let before = net.proto();
    let fused = fuse(&net.model(), emit);
    let inputs = evaluate::inputs(&before, 7);
    let wanted = evaluate::run(&before, &inputs);
    // The spelled constants are rounded to the element type, each at its own place.
    let tolerance = if net.inputs.contains("float16") {
        2e-2
    } else {
        2e-5
    };
    evaluate::assert_close(
        &wanted,
        &evaluate::run(&fused.proto, &inputs),
        tolerance,
        "fused",
        net,
    );
    evaluate::assert_close(
        &wanted,
        &evaluate::run(&expanded(&fused.bytes), &inputs),
        tolerance,
        "expanded",
        net,
    );
    fused
}

/// Nothing is fused, for these reasons, each of which is in the list of all.
#[track_caller]
pub fn explained(net: &Net, reasons: &[&str]) -> Fused {
    let fused = fuse(&net.model(), Emit::Custom);
    assert_eq!(fused.counts(), "", "{:?}", fused.report.fusions);
    for reason in fused.reasons() {
        let is_listed = |&(known, _): &(&str, &str)| known == reason;
        assert!(onnx_swish_fuse::REASONS.iter().any(is_listed), "{reason}");
    }
    assert_eq!(fused.reasons(), reasons, "{:?}", fused.report.near_misses);
    for miss in &fused.report.near_misses {
        let words = [&miss.message, &miss.change];
        assert!(!words.iter().any(|text| text.contains('?')), "{miss:?}");
    }
    fused
}
