//! Random graphs of planted spellings, wrappers and traps: as many fusions as planted, the same numbers, valid files, and
//! nothing left to do the second time (the last two are checked by `common::fuse`).

mod common;

use std::collections::BTreeMap;

use common::table::TABLE;
use common::{Net, check, evaluate, fuse};
use onnx_swish_fuse::Emit;
use proptest::prelude::*;

/// Bodies in which nothing may be fused, with how many gates must be explained.
const TRAPS: &[(&str, usize)] = &[
    (
        "s = Sigmoid(x); m = Mul(x, s); r = Relu(s); y = Add(m, r)",
        1,
    ),
    ("a = Add(x, one); s = Sigmoid(a); y = Mul(x, s)", 1),
    ("s = Sigmoid(x); m = Mul(x, s); y = Mul(m, s)", 2),
    ("s = Sigmoid(u); y = Mul(x, s)", 1),
    ("t = Tanh(x); y = Mul(x, t)", 1),
    ("c = Clip(x, mone, one); y = Mul(x, c)", 1),
    ("m = Mul(x, u); s = Sigmoid(m); y = Mul(x, s)", 1),
    (
        "a = Add(x, three); c = Clip(a, zero, six); m = Mul(x, c); n = Neg(c); y = Add(m, n)",
        1,
    ),
    ("p = Softplus(x); t = Tanh(p); y = Mul(x, t)", 1),
];

/// What may stand between two of them.
const BETWEEN: &[&str] = &[
    "y = Softplus(x)",
    "y = Relu(x)",
    "y = Add(x, u)",
    "y = Mul(x, gain)",
    "y = Identity(x)",
    "y = Div(x, two)",
    "y = Add(x, half)",
    "y = Neg(x)",
];

/// Those from here on are lines, which a spelling behind them may take in: `2·(x/2)·σ(x/2)` is a Swish of x, not a SiLU
/// of x/2 with a factor.
const LINES: usize = 5;

/// Whether a piece ends in a constant factor or an offset.
fn is_line(piece: &Piece) -> bool {
    let leaves_a_factor = |row: &usize| {
        let name = TABLE
            .iter()
            .flat_map(|(_, rows)| rows.iter())
            .nth(*row)
            .map(|row| row.name);
        ["factor_before", "slim", "without_sixth"]
            .map(Some)
            .contains(&name)
    };
    match piece {
        Piece::Between(between) => *between >= LINES,
        Piece::Spelling(row) => leaves_a_factor(row),
        _ => false,
    }
}

#[derive(Debug, Clone)]
enum Piece {
    /// A row of the table, by number.
    Spelling(usize),
    /// A Swish with this beta.
    Swish(f32),
    /// A HardSwish with this slope and offset, spelled with this step.
    Hard(f32, f32, f32),
    Trap(usize),
    Between(usize),
}

#[derive(Debug, Clone)]
struct Planted {
    piece: Piece,
    /// Operands of commutative operators change places where a bit is set.
    swaps: u32,
    /// Identity nodes in front.
    wrappers: usize,
}

fn pieces() -> impl Strategy<Value = Vec<Planted>> {
    let rows = TABLE.iter().map(|(_, rows)| rows.len()).sum::<usize>();
    let piece = prop_oneof![
        6 => (0..rows).prop_map(Piece::Spelling),
        2 => prop_oneof![0.1f32..3.0, -3.0f32..-0.1].prop_map(Piece::Swish),
        2 => (0.05f32..2.0, 0.1f32..2.0, 0.5f32..6.0).prop_map(|(a, b, step)| Piece::Hard(a, b, step)),
        2 => (0..TRAPS.len()).prop_map(Piece::Trap),
        4 => (0..BETWEEN.len()).prop_map(Piece::Between),
    ];
    let planted = (piece, any::<u32>(), 0..3usize).prop_map(|(piece, swaps, wrappers)| Planted {
        piece,
        swaps,
        wrappers,
    });
    prop::collection::vec(planted, 1..7)
}

/// How many of each activation a text such as `silu 2, swish 1` says.
fn tally(total: &mut BTreeMap<String, usize>, found: &str) {
    for part in found.split(", ").filter(|part| !part.is_empty()) {
        let (kind, count) = part.split_once(' ').expect("kind count");
        *total.entry(kind.to_owned()).or_default() += count.parse::<usize>().expect("a count");
    }
}

/// Whether the last node but Identity of a piece is a Transpose.
fn ends_permuted(body: &str) -> bool {
    body.rsplit("; ")
        .next()
        .is_some_and(|last| last.contains("= Transpose["))
}

/// The same body with its own names for everything but the shared constants.
fn rename(body: &str, i: usize, swaps: u32, own: &[String]) -> String {
    const SHARED: [&str; 9] = [
        "zero", "half", "one", "mone", "two", "three", "six", "sixth", "gain",
    ];
    let name = |name: &str| match name {
        "" => String::new(),
        "x" => format!("v{i}"),
        "y" => format!("v{}", i + 1),
        shared if SHARED.contains(&shared) && !own.iter().any(|own| own == shared) => {
            shared.to_owned()
        }
        other => format!("{other}_{i}"),
    };
    let lines = body.split("; ").enumerate().map(|(line, text)| {
        let (outputs, call) = text.split_once(" = ").expect("outputs = call");
        let (head, arguments) = call
            .trim_end_matches(')')
            .split_once('(')
            .expect("op(arguments)");
        let list = |text: &str| {
            text.split(',')
                .map(|part| name(part.trim()))
                .collect::<Vec<_>>()
        };
        let mut arguments = if arguments.is_empty() {
            Vec::new()
        } else {
            list(arguments)
        };
        if swaps >> line & 1 == 1 && ["Mul", "Add", "Sum", "Min", "Max"].contains(&head) {
            arguments.reverse();
        }
        format!(
            "{} = {head}({})",
            list(outputs).join(", "),
            arguments.join(", ")
        )
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// A model of these pieces, what must be found in it and how many gates must be explained.
fn plant(pieces: &[Planted]) -> (Net, BTreeMap<String, usize>, usize) {
    let rows: Vec<_> = TABLE.iter().flat_map(|(_, rows)| rows.iter()).collect();
    let (mut body, mut constants) = (Vec::new(), Vec::new());
    let (mut inputs, mut explained) = (
        vec![
            "float[2,8,4,4] v0".to_owned(),
            "float[2,8,4,4] gain".to_owned(),
        ],
        0,
    );
    let mut expected = BTreeMap::new();
    let mut at = 0;
    for planted in pieces {
        for _ in 0..planted.wrappers {
            body.push(rename("y = Identity(x)", at, 0, &[]));
            at += 1;
        }
        let (text, own): (String, Vec<String>) = match &planted.piece {
            Piece::Spelling(row) => {
                let row = rows[*row];
                // Attribute bounds and legacy opsets do not mix with the rest.
                if row.opset != 17 && row.body.contains("Clip[") {
                    continue;
                }
                tally(&mut expected, row.found);
                // Flattened behind a Transpose, a gate is explained and stays (`forms::moves`): not what is asked here.
                let mut before = body
                    .iter()
                    .rev()
                    .filter(|body| !body.contains("= Identity("));
                if row.body.contains("Reshape(") && before.next().is_some_and(|b| ends_permuted(b))
                {
                    body.push(rename("y = Relu(x)", at, 0, &[]));
                    at += 1;
                }
                let own = row
                    .constants
                    .split(';')
                    .chain(row.inputs.split(';'))
                    .map(str::trim)
                    .filter(|c| !c.is_empty());
                let own: Vec<String> = own.map(str::to_owned).collect();
                (row.body.to_owned(), own)
            }
            Piece::Swish(beta) => {
                tally(&mut expected, "swish 1");
                (
                    "t = Mul(x, b); s = Sigmoid(t); y = Mul(x, s)".into(),
                    vec![format!("float b = {beta}")],
                )
            }
            Piece::Hard(alpha, beta, step) => {
                tally(&mut expected, "hard_swish 1");
                let own = [("a", alpha * step), ("b", beta * step), ("top", *step)];
                let own = own
                    .map(|(name, number)| format!("float {name} = {number}"))
                    .to_vec();
                ("m = Mul(x, a); n = Add(m, b); c = Clip(n, zero, top); g = Div(c, top); y = Mul(x, g)".into(), own)
            }
            Piece::Trap(trap) => {
                explained += TRAPS[*trap].1;
                (TRAPS[*trap].0.to_owned(), Vec::new())
            }
            Piece::Between(between) => (BETWEEN[*between].to_owned(), Vec::new()),
        };
        let mut names = Vec::new();
        for declared in &own {
            let (left, numbers) = declared
                .split_once(" = ")
                .map_or((&declared[..], None), |(l, n)| (l, Some(n)));
            let (kind, name) = left.rsplit_once(' ').expect("type name");
            names.push(name.to_owned());
            match numbers {
                Some(numbers) => constants.push(format!("{kind} {name}_{at} = {numbers}")),
                None => inputs.push(format!("{kind} {name}_{at}")),
            }
        }
        // Another tensor, of its own for each piece.
        if [" u)", "(u,", "(u)"].iter().any(|u| text.contains(u))
            && !names.iter().any(|name| name == "u")
        {
            inputs.push(format!("float[2,8,4,4] u_{at}"));
        }
        body.push(rename(&text, at, planted.swaps, &names));
        at += 1;
    }
    // Squashed, so that numbers stay comparable after some growing pieces.
    body.push(format!("y = Tanh(v{at})"));
    let net = Net::new(&body.join("; "))
        .inputs(&inputs.join("; "))
        .and(&constants.join("; "));
    (net, expected, explained)
}

/// A few hundred graphs in a second; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(150),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn as_many_fusions_as_planted_and_the_same_numbers(pieces in pieces()) {
        let (net, expected, explained) = plant(&pieces);
        let fused = check(&net, Emit::Custom);
        let mut found = BTreeMap::new();
        tally(&mut found, &fused.counts());
        if pieces.iter().any(|planted| is_line(&planted.piece)) {
            let total = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
            prop_assert_eq!(total(&found), total(&expected), "{:?} {:?}", net, fused.report.near_misses);
        } else {
            prop_assert_eq!(found, expected, "{:?} {:?}", net, fused.report.near_misses);
        }
        prop_assert_eq!(fused.report.near_misses.len(), explained, "{:?} {:?}", net, fused.report.near_misses);
    }

    #[test]
    fn other_targets_write_valid_files_with_the_same_numbers(pieces in pieces(), late in any::<bool>()) {
        let (net, ..) = plant(&pieces);
        let net = if late { net.opset(24).ir(11) } else { net };
        check(&net, Emit::Contrib);
        check(&net, Emit::Standard);
    }

    /// Every gate that is a direct operand of a product is gone or has a sentence.
    #[test]
    fn every_gate_is_fused_or_explained(ops in prop::collection::vec((0..8usize, any::<u8>(), any::<u8>()), 1..24)) {
        let mut body = vec!["v0 = Identity(x)".to_owned()];
        for (i, (op, a, b)) in ops.iter().enumerate() {
            let (a, b) = (usize::from(*a) % (i + 1), usize::from(*b) % (i + 1));
            body.push(match op {
                0 | 1 => format!("v{} = Sigmoid(v{a})", i + 1),
                2 => format!("v{} = HardSigmoid[alpha=0.16666667](v{a})", i + 1),
                3 => format!("v{} = Clip(v{a}, zero, six)", i + 1),
                4 => format!("v{} = Add(v{a}, three)", i + 1),
                5 => format!("v{} = Tanh(v{a})", i + 1),
                _ => format!("v{} = Mul(v{a}, v{b})", i + 1),
            });
        }
        body.push(format!("y = Identity(v{})", ops.len()));
        let net = Net::new(&body.join("; "));
        let fused = fuse(&net.model(), Emit::Custom);
        let before = net.proto();
        let inputs = evaluate::inputs(&before, 3);
        evaluate::assert_close(&evaluate::run(&before, &inputs), &evaluate::run(&fused.proto, &inputs), 2e-5, "fused", &net);
        let graph = fused.proto.graph.as_ref().unwrap();
        let gates: Vec<&[u8]> = graph
            .node
            .iter()
            .filter(|node| [&b"Sigmoid"[..], b"HardSigmoid", b"Clip", b"Tanh"].contains(&node.op_type()))
            .map(|node| &node.output[0][..])
            .collect();
        for product in graph.node.iter().filter(|node| node.op_type() == b"Mul") {
            if product.input.iter().any(|input| gates.contains(&&input[..])) {
                let name = String::from_utf8_lossy(&product.output[0]).into_owned();
                prop_assert!(
                    fused.report.near_misses.iter().any(|miss| miss.output == name),
                    "{name} has no explanation: {net:?}"
                );
            }
        }
    }
}

/// Analysis and writing need no stack: a chain of many thousand nodes in a thread with a small one.
#[test]
fn no_recursion_on_input() {
    let mut lines = Vec::new();
    for i in 0..20_000 {
        lines.push(match i % 5 {
            0 => format!("v{} = Mul(v{i}, two)", i + 1),
            1 => format!("v{} = Clip(v{i}, zero, six)", i + 1),
            2 => format!("v{} = Identity(v{i})", i + 1),
            3 => format!("v{} = Mul(v{i}, v{})", i + 1, i - 1),
            _ => format!("v{} = Transpose[perm=0:1:3:2](v{i})", i + 1),
        });
    }
    lines.push("y = Identity(v20000)".into());
    let net = Net::new(&lines.join("; ")).inputs("float[2,8,4,4] v0");
    let run = move || fuse(&net.model(), Emit::Custom).report.nodes;
    let thread = std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(run)
        .expect("a thread");
    assert_eq!(thread.join().expect("no overflow"), 20_001);
}
