//! `docs/spellings.md` is made from the table that the tests run and from the doc comments of the code that recognises.
//!
//! `UPDATE_DOCS=1 cargo test -p onnx-swish-fuse --test docs` writes it anew.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::table::TABLE;

/// Names and doc comments of the items of one kind (`fn `, or the variants of an enum).
fn harvest(source: &str, is_item: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let (mut found, mut doc) = (Vec::new(), Vec::new());
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else {
            if let Some(name) = is_item(line).filter(|_| !doc.is_empty()) {
                found.push((name, doc.join(" ")));
            }
            if !line.starts_with("#[") {
                doc.clear();
            }
        }
    }
    found
}

/// The variants of an enum.
fn variants(source: &str, name: &str) -> Vec<(String, String)> {
    let body = source
        .split_once(&format!("enum {name} {{"))
        .expect("the enum")
        .1;
    let body = body.split_once("\n}").expect("its end").0;
    harvest(body, |line| {
        let name: String = line.chars().take_while(|c| c.is_alphanumeric()).collect();
        (!name.is_empty() && name.starts_with(char::is_uppercase)).then_some(name)
    })
}

/// Of the methods there, those that are no operator's own.
const HELPERS: [&str; 6] = ["number", "affine", "core", "set", "add", "input"];

const DECISIONS: &str = "
## Decisions

- **One Sigmoid, several products.** If all its products fuse, the Sigmoid goes and each product becomes one operator. If one
  of them stays, or something else reads the Sigmoid, all stay: the Sigmoid would be computed anyway, and twice.
- **Which x.** A gate is a function of every value on the way to its root. The reading that leaves no factor wins, then the
  one that takes in most nodes.
- **Factors.** A factor that is 1 in the tensor's own element type vanishes, any other stays as one Mul. Constant factors
  right behind a product are taken in if they make it 1, or if there is a factor anyway.
- **1/6.** A slope is the standard one if it is within 2 ulp of 1/6 in float32 or float64 (Paddle writes 0.1666667) and
  within 1 ulp in float16 or bfloat16. Every other slope keeps its value in `FusedSlopedHardSwish`.
- **beta.** A constant, a stored tensor, or a computed value that is smaller than x. A computed value as large as x gates by
  another tensor and is left alone.
- **float64.** Attributes are float32, so a HardSwish spelled in float64 stays, unless it is spelled with HardSigmoid, whose
  attributes are float32 already.
- **Casts.** A Sigmoid between two Casts rounds elsewhere than a fused operator would and stays; an activation that lies
  between them as a whole is fused in its own element type.
- **Constants.** What only replaced nodes have read goes with them. What was unused before stays.
- **Less or nothing.** What would not save a node is not fused.
- **Reshapes.** A reshaped value is the same numbers in the same order, so that forms are read through Reshape, Squeeze, Unsqueeze,
  Flatten and Expand. The guard of shapes is the proof: operators with constants and broadcasts never lose elements, so if the
  result has the shape of x, element meets element everywhere in between. Where another tensor flows in, each reshape must keep its shape.
- **beta 0.** x·σ(0·x) is half of x, NaN for infinite x, and a Swish of beta 0. An infinite beta is none.
- **Our functions.** A function of ours in a file is ours if its body is what we write, whatever its values are called and
  however its attributes are ordered. Edited, it is somebody else's: it is explained, and inlined when the model runs.
  `onnx-swish` does so when it loads a model; `onnx-swish-tract` used alone takes our operators by name and reads no bodies.

## Quantised activations

A quantiser writes the same activations with QuantizeLinear and DequantizeLinear between the steps, or as QLinearSigmoid,
QLinearMul and QLinearAdd, which are DequantizeLinear, the operator, QuantizeLinear up to rounding. Forms are read through them: a code is the
number that it stands for. A region from one 8-bit code to one code in which nothing but constants flows in is a function of
256 numbers, and if its form is that of SiLU, Swish or HardSwish it is reported as quantised. The file keeps it, because the
roundings inside belong to its result.

- **Codes.** A QuantizeLinear with scalar parameters, and whatever a DequantizeLinear with scalar parameters reads, is a root.
  Two QuantizeLinear of one value with equal parameters are one root; Identity and Casts to the same type are seen through.
  The operators of `com.microsoft` are those of the standard.
- **How it is judged.** The form says which activation it would be, with quantisers read as if they did nothing. Then numbers must
  agree: each of the 256 codes, computed with all roundings and saturations of the region, is what the activation gives where the
  last quantiser does not cut it off. It may be off by one step of the code that leaves; by one of each quantiser between the product
  and it, up to two steps of its own; by what one step of each quantiser of the argument or of the partner moves the product, up to two
  steps of the code that enters; and by what one step of each quantiser of the gate moves it, up to 1/64 of what an open gate lets
  through. σ(x) and clamp(x/6 + 1/2, 0, 1) differ by 0.069 at most, and a gate that is off by more than a quarter of that could be
  taken for the other one: codes with steps of 1/255 or 1/127 resolve a gate, steps of 1/8 do not, and a step of 1 makes a ReLU of it.
- **What fails is explained** by the quantiser at fault: the one without whose ends (`saturates`) or rounding (`coarse`) the numbers
  would agree. A product that is cut off before it is divided by 6 is no HardSwish times 6, but a HardSwish that is cut off.
- **A quantiser in the place of a Clip.** ONNX Runtime's quantiser takes a Clip out whose bounds the quantiser behind it has: x+3
  quantised to [0, 6]. Such bounds are read as a clamp, if operators do not bound the gate on both sides. They end at the largest
  number that calibration saw, 6 or less, so that three numbers are tried as the gate's 1: the one at which it is 1/2 at zero,
  the one that leaves no factor, and the quantiser's end. Such a gate must be open at zero (x·relu(x) is closed there), and be 1/2
  at zero or reach both bounds. The line of a hard sigmoid that a quantiser bounds elsewhere is explained: `bounds`.
- **Which code enters.** Where the partner was quantised itself, x/6 or x/2, the product is read over its code and over the codes
  that it was quantised from; the reading that leaves no factor wins.
- **Transposes** are moved to where a value comes from: what is computed from a transposed value is the transpose of what is computed
  from the value. There and back, on both sides of a product or around all of it, they are nothing, and such a region is a table.
  If the code that leaves is in another order than the code that enters, it is none: `transposed`.
- **Constants.** A constant behind DequantizeLinear, or quantised at run time, is what its code says, 255·(3/255) for 3. Two
  constants within 2^-16 of each other are one: such an error moves no value by more than 1/256 of a step. Symmetric quantisers
  store 1 as 127/128 of their largest number: a slope and an offset, or beta and the factor, that are off together by up to 1/128
  are the ones that are meant, if the numbers agree.
- **In floats between codes.** DequantizeLinear, SiLU in floats, QuantizeLinear is such a region as well. If something reads the
  result that makes no codes of it, or no codes of it alone, it is fused instead, since that reader wants it in floats. One that is a step
  of several between the codes stays, too, whether these are of one tensor or of more: `quantized`. Steps are what computes element by
  element from codes and constants, and what moves or selects elements:
  MaxPool, Concat, Where, a Cast. They are followed into If, Loop, Scan and functions of the file, and out of them.
- **No table.** 16-bit and 8-bit float codes, scales with several elements, scales that are not finite, normal and above zero or whose
  quotients leave 32-bit integers, a gate that is quantised where x is not, a gate that is computed from x before x is quantised.
";

fn page() -> String {
    let mut page = String::from(
        "# Spellings\n\n\
         Every way of writing SiLU, Swish and HardSwish that the tests know, and how it is recognised. This page is generated from\n\
         the code and its tests: `UPDATE_DOCS=1 cargo test -p onnx-swish-fuse --test docs`.\n\n\
         Spellings are not listed in the code. Each value of a graph gets the form that it has as a function of one earlier\n\
         value, and a product of a value and its own gate is an activation. What follows are examples, each of which runs as a\n\
         test in every order of operands: the count is as given, and the numbers are the same before, after, and expanded again.\n\n\
         `zero half one mone two three six sixth` are constants of those values; `x` is the input and `y` the output.\n",
    );
    for (section, rows) in TABLE {
        let _ = write!(
            page,
            "\n## {section}\n\n| written by | nodes | fused |\n|---|---|---|\n"
        );
        for row in *rows {
            let besides: Vec<&str> = [row.inputs, row.constants]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect();
            let besides = if besides.is_empty() {
                String::new()
            } else {
                format!("<br>with `{}`", besides.join("; "))
            };
            let _ = writeln!(
                page,
                "| {} | `{}`{besides} | {} |",
                row.by.replace('|', "\\|"),
                row.body,
                row.found
            );
        }
    }
    page.push_str(DECISIONS);
    let mut list = |title: &str, intro: &str, items: Vec<(String, String)>| {
        assert!(!items.is_empty(), "{title}");
        let _ = write!(page, "\n## {title}\n\n{intro}\n\n");
        for (name, doc) in items {
            let _ = writeln!(page, "- **{name}**: {doc}");
        }
    };
    list(
        "Forms",
        "A value is `p·root + q`, and each root knows which operator made it:",
        variants(include_str!("../src/forms/mod.rs"), "Core"),
    );
    let functions = harvest(include_str!("../src/forms/transfer.rs"), |line| {
        let name = line.strip_prefix("fn ")?.split(['(', '<']).next()?;
        (!HELPERS.contains(&name)).then(|| format!("`{name}`"))
    });
    list(
        "Transfer functions",
        "One for each operator or family of operators, in `forms/transfer.rs`:",
        functions,
    );
    list(
        "Near misses",
        "What `inspect` says of gates that stay: the `reason` of its JSON, and what it means. A gate may reach its product\nthrough operators that move elements or compute with them one by one; the report names the gate, not what became of it.",
        onnx_swish_fuse::REASONS
            .iter()
            .map(|&(reason, meaning)| (format!("`{reason}`"), meaning.to_owned()))
            .collect(),
    );
    list(
        "Products that are no activation",
        "A gate times something, where the something is not what the gate is a function of:",
        variants(include_str!("../src/forms/products.rs"), "Mismatch"),
    );
    list(
        "What forbids a fusion",
        "All guards, in `plan/guards.rs`. What they refuse is reported as a near miss:",
        variants(include_str!("../src/plan/guards.rs"), "Block"),
    );
    list(
        "What a target cannot say",
        "Reasons why `--emit` leaves a recognised activation as it is:",
        variants(include_str!("../src/emit/target.rs"), "Cannot"),
    );
    page
}

#[test]
fn the_page_of_spellings_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spellings.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("a writable folder");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored.replace("\r\n", "\n") == page,
        "docs/spellings.md is out of date: run UPDATE_DOCS=1 cargo test -p onnx-swish-fuse --test docs"
    );
}
