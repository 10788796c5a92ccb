//! A profile for other people's viewers: a trace for Perfetto and Chrome, and node data for Model Explorer.
//! Given: a report with a profile, and the model.
//! Promises: each node of the profile in the order of execution, one behind the other, in a row for tract and one for onnx-swish; node data by
//! the names of tensors, which a fused file and the one that it was made of share.

use std::collections::{BTreeMap, HashMap};

use onnx_swish::{BenchReport, Model, NodeProfile};
use serde_json::{Value, json};

/// A trace in Chrome's JSON format, which <https://ui.perfetto.dev> opens, too. Times are medians, so that the gaps of one run are not in it.
pub fn trace(report: &BenchReport) -> Value {
    let nodes = |nodes: &Option<Vec<NodeProfile>>| nodes.clone().unwrap_or_default();
    rows([
        ("tract+vzeroupper", nodes(&report.tract_profile_nodes)),
        ("onnx-swish", nodes(&report.profile_nodes)),
    ])
}

fn rows(rows: [(&str, Vec<NodeProfile>); 2]) -> Value {
    let mut events = vec![named("process_name", 0, "onnx-swish bench")];
    for (thread, (name, nodes)) in rows.into_iter().enumerate() {
        events.push(named("thread_name", thread, name));
        // Microseconds, as the format has it.
        let mut at = 0.0;
        for node in nodes {
            let lasts = node.ms * 1e3;
            events.push(json!({
                "ph": "X", "pid": 0, "tid": thread, "ts": at, "dur": lasts, "cat": node.op, "name": node.node,
                "args": {"op": node.op, "info": node.info, "macs": node.macs},
            }));
            at += lasts;
        }
    }
    json!({"displayTimeUnit": "ms", "traceEvents": events})
}

fn named(what: &str, thread: usize, name: &str) -> Value {
    json!({"ph": "M", "pid": 0, "tid": thread, "name": what, "args": {"name": name}})
}

/// Node data for Model Explorer: milliseconds by tensor, longest in red. Also how many nodes of the profile are no node of the model.
pub fn node_data(nodes: &[NodeProfile], model: &Model) -> (Value, usize) {
    let tensors = tensors(model);
    let mut times: BTreeMap<&str, f64> = BTreeMap::new();
    let mut unknown = 0;
    for node in nodes {
        match tensor_of(&tensors, node) {
            Some(tensor) => *times.entry(tensor).or_default() += node.ms,
            None => unknown += 1,
        }
    }
    let results: BTreeMap<&str, Value> = times
        .into_iter()
        .map(|(tensor, ms)| (tensor, json!({"value": ms})))
        .collect();
    let gradient = json!([
        {"stop": 0, "bgColor": "#ffffff"}, {"stop": 0.5, "bgColor": "#ffd591"}, {"stop": 1, "bgColor": "#ff7875"},
    ]);
    (json!({"results": results, "gradient": gradient}), unknown)
}

/// Names of nodes and of the tensors that they make, each with the first tensor.
fn tensors(model: &Model) -> HashMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut tensors = HashMap::new();
    for node in model.scopes().iter().flat_map(|scope| scope.nodes()) {
        let node = model.node_ref(node);
        let Some(first) = node.outputs().find(|name| !name.is_empty()).map(text) else {
            continue;
        };
        for name in node
            .outputs()
            .chain([node.name()])
            .filter(|name| !name.is_empty())
        {
            tensors.entry(text(name)).or_insert_with(|| first.clone());
        }
    }
    tensors
}

/// The tensor of a node of the optimised graph: by its name, or by that without what was appended to it.
fn tensor_of<'t>(tensors: &'t HashMap<String, String>, node: &NodeProfile) -> Option<&'t str> {
    let mut name = node.node.as_str();
    loop {
        if let Some(tensor) = tensors.get(name) {
            return Some(tensor);
        }
        name = name.rsplit_once('.')?.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<NodeProfile> {
        let node = |name: &str, ms: f64| NodeProfile {
            node: name.to_owned(),
            op: "Div".to_owned(),
            ms,
            info: String::new(),
            macs: None,
        };
        vec![
            node("Div@0", 0.5),
            node("Div@0.low", 0.25),
            node("nobody", 1.0),
        ]
    }

    #[test]
    fn a_trace_has_a_row_for_each_and_no_gaps() {
        let trace = rows([("tract", nodes()), ("onnx-swish", nodes())]);
        let events = trace["traceEvents"].as_array().unwrap();
        let ours: Vec<&Value> = events
            .iter()
            .filter(|event| event["ph"] == "X" && event["tid"] == 1)
            .collect();
        let starts: Vec<f64> = ours
            .iter()
            .filter_map(|event| event["ts"].as_f64())
            .collect();
        assert_eq!(starts, [0.0, 500.0, 750.0]);
        assert_eq!(events.len(), 3 + 2 * ours.len());
    }

    #[test]
    fn times_belong_to_tensors() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        let model = Model::open(root.join("real/ch_ppocr_mobile_v2.0_cls_infer.onnx")).unwrap();
        let (data, unknown) = node_data(&nodes(), &model);
        assert_eq!(
            data["results"],
            json!({"hardswish_0.tmp_0": {"value": 0.75}})
        );
        assert_eq!(unknown, 1);
    }
}
