//! Documents of every fixture, and of models that are made to be difficult.
//! Given: fixtures.
//! Promises: what a document says is what the plan says; positions in it are positions; each node that differs is shown or counted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use onnx_swish_fuse::{Options, analyze, apply};
use onnx_swish_model::{Model, display};
use onnx_swish_report::{Document, Entry, EntryKind, Side, html, markdown};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn fixture(name: &str) -> Model {
    Model::open(folder().join(name)).unwrap()
}

const CLASSIFIER: &str = "real/ch_ppocr_mobile_v2.0_cls_infer.onnx";

fn fused(model: &Model) -> Model {
    let plan = analyze(model, &Options::default());
    apply(model, &plan).unwrap().into_model().unwrap()
}

fn report(model: &Model) -> Document {
    Document::report(&analyze(model, &Options::default()), &fused(model))
}

fn every_fixture() -> impl Iterator<Item = PathBuf> {
    let folders = [
        "exporters",
        "handmade",
        "quantised",
        "real",
        "repairs",
        "half",
    ];
    let mut found: Vec<PathBuf> = folders
        .iter()
        .flat_map(|name| std::fs::read_dir(folder().join(name)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "onnx")
        })
        .collect();
    found.sort();
    assert!(found.len() > 200, "the fixtures are not where they were");
    found.into_iter()
}

fn sides(entry: &Entry) -> impl Iterator<Item = &Side> {
    std::iter::once(&entry.before).chain(&entry.after)
}

/// Every position in a document is one of its tables.
fn assert_consistent(document: &Document, of: &Path) {
    let (nodes, values) = (&document.graph.nodes, &document.graph.values);
    for entry in &document.entries {
        for side in sides(entry) {
            for &node in side.nodes.iter().chain(&side.around) {
                assert!((node as usize) < nodes.len(), "{}", of.display());
            }
        }
        if let Some(curve) = entry.curve {
            assert!((curve as usize) < document.curves.len(), "{}", of.display());
        }
    }
    for value in nodes
        .iter()
        .flat_map(|node| node.inputs.iter().chain(&node.outputs))
    {
        assert!(
            *value >= -1 && *value < values.len() as i64,
            "{}",
            of.display()
        );
    }
    let summary = &document.summary;
    let [before, after] = [&document.before, &document.after].map(|facts| facts.nodes);
    assert_eq!(
        summary.nodes_kept + summary.nodes_removed,
        before,
        "{}",
        of.display()
    );
    assert_eq!(
        summary.nodes_kept + summary.nodes_added,
        after,
        "{}",
        of.display()
    );
}

#[test]
fn every_fixture_has_a_report_that_says_what_the_plan_says() {
    for path in every_fixture() {
        let model = Model::open(&path).unwrap();
        let plan = analyze(&model, &Options::default());
        let found = plan.report();
        let document = Document::report(&plan, &fused(&model));
        assert_consistent(&document, &path);
        let summary = &document.summary;
        let counts = [
            summary.fusions,
            summary.quantised,
            summary.already_fused,
            summary.near_misses,
        ];
        let wanted = [
            found.fusions.len(),
            found.quantised.len(),
            found.already_fused.len(),
            found.near_misses.len(),
        ];
        assert_eq!(counts, wanted, "{}", path.display());
        let mut fusions = found.fusions.iter();
        for entry in document.entries.iter().filter(|entry| entry.op.is_some()) {
            let fusion = fusions.next().unwrap();
            assert_eq!(
                entry.kind,
                EntryKind::Fusion,
                "{}: {} is fused",
                path.display(),
                entry.output
            );
            assert_eq!(entry.output, fusion.output);
            assert_eq!(
                entry.before.nodes.len(),
                fusion.nodes.len(),
                "{}",
                path.display()
            );
            let after = entry.after.as_ref().unwrap();
            let ops: BTreeSet<&str> = after
                .nodes
                .iter()
                .map(|&node| document.graph.nodes[node as usize].op.as_str())
                .collect();
            assert!(
                ops.contains(fusion.op.as_str()),
                "{}: {ops:?}",
                path.display()
            );
        }
        // Nothing else was changed: what is left are constants that nobody reads any more.
        assert_eq!(
            summary.identical,
            found.fusions.is_empty(),
            "{}",
            path.display()
        );
        let page = html(&document);
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    }
}

#[test]
fn a_diff_finds_each_fusion_as_a_place_of_its_own() {
    let model = fixture(CLASSIFIER);
    let document = Document::diff(&model, &fused(&model));
    let summary = &document.summary;
    assert_eq!((summary.changes, summary.nodes_added), (18, 18));
    assert!(summary.in_common && !summary.identical);
    for entry in &document.entries {
        let ops: Vec<&str> = entry
            .before
            .nodes
            .iter()
            .map(|&node| document.graph.nodes[node as usize].op.as_str())
            .collect();
        for op in ["Add", "Clip", "Mul", "Div"] {
            assert_eq!(
                ops.iter().filter(|&&found| found == op).count(),
                1,
                "{ops:?}"
            );
        }
        assert_eq!(entry.after.as_ref().unwrap().nodes.len(), 1);
    }
    let said = markdown(&document);
    assert!(said.contains("| `Clip` | 18 | 0 |"), "{said}");
}

#[test]
fn a_file_is_the_same_as_itself_and_has_nothing_in_common_with_another() {
    let (a, b) = (fixture(CLASSIFIER), fixture("handmade/two_inputs.onnx"));
    let same = Document::diff(&a, &a);
    assert!(same.summary.identical && same.entries.is_empty());
    assert!(markdown(&same).contains("the same, byte for byte"));
    let other = Document::diff(&a, &b);
    assert!(!other.summary.in_common);
    assert!(markdown(&other).contains("nothing in common"));
}

#[test]
fn a_stored_tensor_of_another_content_is_named() {
    let model = fixture("quantised/addclip.QDQ.QUInt8.onnx");
    let stored = model.scopes()[0].initializers();
    let changed = |count: usize| {
        let mut bytes = model.bytes().to_vec();
        for tensor in &stored[..count] {
            let (span, name) = (tensor.span(), tensor.name());
            let (end, end_of_name) = (span.start + span.len, name.start + name.len);
            // The last byte of its numbers: at its end, or before the two bytes that begin its name.
            let last = if end_of_name == end {
                name.start - 2
            } else {
                end
            };
            bytes[last as usize - 1] ^= 1;
        }
        Document::diff(&model, &Model::from_bytes(bytes).unwrap())
    };
    let one = changed(1);
    let name = display(model.text(stored[0].name()));
    assert_eq!(
        one.outside,
        [format!("The stored tensor `{name}` has another content")]
    );
    assert_eq!(one.summary.tensors_changed, 1);
    let many = changed(25);
    assert_eq!(many.outside.len(), 21);
    assert_eq!(many.outside[20], "And so have 5 more stored tensors");
    assert!(changed(20).outside.iter().all(|said| said.contains('`')));
}

#[test]
fn a_constant_that_many_places_read_joins_none_of_them() {
    // 150 activations share constants; each stays a place of its own, in both directions.
    let model = fixture("handmade/many_gates.onnx");
    let fused = fused(&model);
    let there = Document::diff(&model, &fused);
    assert_eq!(there.summary.changes, 150);
    let back = Document::diff(&fused, &model);
    assert_eq!(back.summary.changes, 150);
    assert_eq!(back.summary.nodes_removed, there.summary.nodes_added);
}

#[test]
fn a_fused_file_that_is_another_one_says_what_is_not_fused() {
    let model = fixture(CLASSIFIER);
    let plan = analyze(&model, &Options::default());
    let document = Document::report(&plan, &model);
    let kinds: BTreeSet<bool> = document
        .entries
        .iter()
        .map(|entry| entry.kind == EntryKind::Fusion)
        .collect();
    assert_eq!(kinds, BTreeSet::from([false]));
    assert_eq!(document.summary.fusions, 18);
}

#[test]
fn a_range_that_was_seen_belongs_to_the_curve() {
    let mut document = report(&fixture(CLASSIFIER));
    let outputs: Vec<String> = document
        .entries
        .iter()
        .map(|entry| entry.output.clone())
        .collect();
    document.observe(&outputs[0], -1.5, 2.0);
    document.observe(&outputs[1], -0.5, 7.0);
    document.observe("no such value", -1e9, 1e9);
    assert_eq!(document.curves.len(), 1);
    assert_eq!(document.curves[0].range, Some([-1.5, 7.0]));
    assert_eq!(document.curves[0].count, 18);
}

fn curve(name: &str) -> onnx_swish_report::Curve {
    let document = report(&fixture(name));
    assert_eq!(document.curves.len(), 1, "{name}");
    document.curves[0].clone()
}

#[test]
fn betas_of_a_tensor_in_the_file_are_a_curve() {
    for name in ["op13", "dyn18"] {
        let curve = curve(&format!("exporters/beta_channel.{name}.onnx"));
        assert_eq!(curve.betas, Some([0.5, 1.1, 1.9]), "as NumPy sorts them");
        assert_eq!(curve.title, "Swish, beta 0.5 to 1.9");
        assert_eq!((curve.beta, curve.note), (None, None));
    }
    let last = curve("exporters/beta_lastdim.tf.op13.onnx");
    assert_eq!(last.betas, Some([0.7727603, 1.145302, 1.9834065]));
    assert_eq!(last.title, "Swish, beta 0.7728 to 1.983");
}

#[test]
fn where_there_is_no_curve_it_is_said_why_and_the_range_is_kept() {
    for name in [
        "exporters/meta_acon.op13.onnx",
        "handmade/overridable_beta.onnx",
    ] {
        let mut document = report(&fixture(name));
        let output = document.entries[0].output.clone();
        document.observe(&output, -2.0, 3.0);
        let curve = &document.curves[0];
        assert!(
            curve
                .note
                .is_some_and(|note| note.contains("once the model runs")),
            "{name}"
        );
        assert_eq!((curve.betas, curve.range), (None, Some([-2.0, 3.0])));
    }
}

#[test]
fn a_path_that_is_markup_stays_text() {
    let mut document = report(&fixture("handmade/shared_gate.onnx"));
    let path = "</title></script><script>alert(1)</script>.onnx";
    document.before.model = Some(path.to_owned());
    let page = html(&document);
    assert!(!page.contains("<script>alert"), "a name began a script");
    assert_eq!(page.matches("</title>").count(), 1);
    document.before.model = Some("a`b|c\nd.onnx".to_owned());
    assert!(
        markdown(&document).starts_with("### `` a`b\\|c\\nd.onnx ``"),
        "{}",
        markdown(&document)
    );
}
