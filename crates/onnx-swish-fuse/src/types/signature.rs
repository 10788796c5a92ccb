//! Signatures: which inputs and outputs of an operator have one element type.
//! Given: the table `signatures.txt`, and the name and version of an operator.
//! Promises: what the table says, or nothing for an operator that is not in it. The table agrees with the schemas of onnx
//! and onnxruntime.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use super::DataType;
use crate::ops::is_default_domain;

/// The table; its head explains it.
const TABLE: &str = include_str!("signatures.txt");

/// Names of type variables that admit any type, and of those that admit floats only.
const ANY: &str = "TUVWXY";
const FLOATS: &str = "FGHKLMN";

/// How many type variables there are.
pub(crate) const VARIABLES: usize = ANY.len() + FLOATS.len();

/// A type variable of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variable(u8);

impl Variable {
    fn parse(name: &str) -> Option<Self> {
        let index = ANY
            .find(name)
            .or_else(|| FLOATS.find(name).map(|at| ANY.len() + at))?;
        (name.len() == 1).then_some(Self(index as u8))
    }

    /// Position in tables of variables.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Whether it admits nothing but floats.
    pub(crate) fn is_float(self) -> bool {
        self.index() >= ANY.len()
    }
}

/// An input of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Says nothing.
    Free,
    /// Of the type of everything else with this variable.
    Like(Variable),
    /// Of this type.
    Is(DataType),
}

/// Where an output's type comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nothing is said.
    Unknown,
    /// The type of everything else with this variable.
    Like(Variable),
    /// This type.
    Is(DataType),
    /// The type that an attribute names.
    Attribute(&'static str),
    /// The type that a graph inside the node gives out, so many positions further back.
    Body(usize),
}

/// One version of an operator.
#[derive(Debug)]
pub(crate) struct Signature {
    inputs: Vec<Input>,
    more_inputs: bool,
    /// For each output the rules to try, one after the other.
    outputs: Vec<Vec<Rule>>,
    more_outputs: bool,
    /// The variable of all inputs that say anything, and of the only output: of most operators.
    only_variable: Option<Variable>,
}

impl Signature {
    /// The variable of the only output and of this many inputs, if nothing else decides on types.
    pub(crate) fn only_variable(&self) -> Option<(Variable, usize)> {
        let count = if self.more_inputs {
            usize::MAX
        } else {
            self.inputs.len()
        };
        self.only_variable.map(|variable| (variable, count))
    }

    /// The input at a position.
    pub(crate) fn input(&self, position: usize) -> Input {
        let last = self.inputs.last().filter(|_| self.more_inputs);
        let input = self.inputs.get(position).or(last);
        input.copied().unwrap_or(Input::Free)
    }

    /// The rules for the output at a position.
    pub(crate) fn output(&self, position: usize) -> &[Rule] {
        let last = self.outputs.last().filter(|_| self.more_outputs);
        self.outputs
            .get(position)
            .or(last)
            .map_or(&[], Vec::as_slice)
    }
}

/// An operator through its versions.
#[derive(Debug)]
pub(crate) struct Family {
    /// Signatures, each with the version from which on it holds.
    versions: Vec<(i64, Signature)>,
}

impl Family {
    /// The signature in a version of the default domain's operators; other domains have only one.
    pub(crate) fn at(&self, domain: &[u8], opset: i64) -> Option<&Signature> {
        let held = |&&(since, _): &&(i64, Signature)| since <= opset;
        let version = if is_default_domain(domain) {
            self.versions
                .iter()
                .rfind(held)
                .or_else(|| self.versions.first())
        } else {
            self.versions.last()
        };
        version.map(|(_, signature)| signature)
    }
}

/// The operator of that name.
pub(crate) fn family(domain: &[u8], op_type: &[u8]) -> Option<&'static Family> {
    static DOMAINS: LazyLock<HashMap<&str, HashMap<&str, Row>>> = LazyLock::new(read);
    let domain = if is_default_domain(domain) {
        "ai.onnx"
    } else {
        std::str::from_utf8(domain).ok()?
    };
    let rows = DOMAINS.get(domain)?;
    let row = rows.get(std::str::from_utf8(op_type).ok()?)?;
    Some(row.family())
}

/// A row of the table, which is read when its operator is met: a file has few of three hundred.
struct Row {
    versions: &'static str,
    family: OnceLock<Family>,
}

impl Row {
    fn family(&self) -> &Family {
        self.family.get_or_init(|| Family {
            versions: self.versions.split("; ").filter_map(version).collect(),
        })
    }
}

/// Lines of the table: domain, operator and the rest.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let mut domain = "";
    TABLE.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[') {
            domain = name.trim_end_matches(']');
            return None;
        }
        let (op, versions) = line.split_once(' ').filter(|_| !line.starts_with('#'))?;
        Some((domain, op, versions))
    })
}

fn read() -> HashMap<&'static str, HashMap<&'static str, Row>> {
    let mut domains: HashMap<_, HashMap<_, _>> = HashMap::new();
    for (domain, op, versions) in rows() {
        let row = Row {
            versions,
            family: OnceLock::new(),
        };
        domains.entry(domain).or_default().insert(op, row);
    }
    domains
}

fn version(text: &'static str) -> Option<(i64, Signature)> {
    let (since, signature) = text.split_once(' ')?;
    let (inputs, outputs) = signature.split_once("->")?;
    let terms = |list: &'static str| list.split(',').filter(|term| !term.is_empty());
    let bare = |term: &'static str| term.trim_end_matches('*');
    let mut signature = Signature {
        inputs: terms(inputs).map(|term| input(bare(term))).collect(),
        more_inputs: inputs.ends_with('*'),
        outputs: terms(outputs)
            .map(|term| bare(term).split('|').map(rule).collect())
            .collect(),
        more_outputs: outputs.ends_with('*'),
        only_variable: None,
    };
    if let ([one], [Input::Like(first), rest @ ..]) =
        (&signature.outputs[..], &signature.inputs[..])
        && one[..] == [Rule::Like(*first)]
        && rest.iter().all(|input| *input == Input::Like(*first))
    {
        signature.only_variable = Some(*first);
    }
    Some((since.parse().ok()?, signature))
}

fn input(term: &str) -> Input {
    match (Variable::parse(term), DataType::parse(term)) {
        (Some(variable), _) => Input::Like(variable),
        (None, Some(data_type)) => Input::Is(data_type),
        (None, None) => Input::Free,
    }
}

fn rule(term: &'static str) -> Rule {
    if let Some(attribute) = term.strip_prefix('@') {
        return Rule::Attribute(attribute);
    }
    if let Some(back) = term.strip_prefix("body") {
        return Rule::Body(back.parse().unwrap_or(0));
    }
    match (Variable::parse(term), DataType::parse(term)) {
        (Some(variable), _) => Rule::Like(variable),
        (None, Some(data_type)) => Rule::Is(data_type),
        (None, None) => Rule::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{DataType, FLOATS, Variable, rows, version};

    /// What `tests/schemas/list_schemas.py` has listed, by domain and operator.
    fn schemas() -> BTreeMap<(String, String), Vec<(i64, String)>> {
        let list = include_str!("../../tests/schemas/schemas.tsv");
        let mut schemas: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [domain, op, since, signature] = fields[..] else {
                panic!("four fields: {line}");
            };
            let domain = if domain.is_empty() { "ai.onnx" } else { domain };
            schemas
                .entry((domain.to_owned(), op.to_owned()))
                .or_default()
                .push((since.parse().expect("a version"), signature.to_owned()));
        }
        schemas
    }

    /// Whether a schema leaves it open where an output's type comes from.
    fn is_open(output: &str, inputs: &[&str]) -> bool {
        let alone = FLOATS.contains(output) && !inputs.contains(&output);
        output.starts_with(['?', '!']) || alone
    }

    /// Whether our row says what the schema says, and nothing about inputs that the schema does not.
    fn agrees(ours: &str, schema: &str) -> bool {
        let split = |signature: &'static str| -> (Vec<&'static str>, Vec<&'static str>) {
            let (inputs, outputs) = signature.split_once("->").expect("an arrow");
            (inputs.split(',').collect(), outputs.split(',').collect())
        };
        let (ours, schema): (&'static str, &'static str) =
            (ours.to_owned().leak(), schema.to_owned().leak());
        let ((our_inputs, our_outputs), (inputs, outputs)) = (split(ours), split(schema));
        let attribute = ours.contains('@') || ours.contains('|');
        let length = our_inputs.len().max(inputs.len());
        let same_inputs = (0..length).all(|i| {
            let (mine, theirs) = (our_inputs.get(i), inputs.get(i));
            // A variable that stands once says nothing until an attribute's rule refers to it.
            let free = matches!(theirs, None | Some(&"_" | &""));
            mine == theirs || (free && attribute && mine.is_some_and(|name| name.len() == 1))
        });
        let same_outputs = our_outputs.len() == outputs.len()
            && our_outputs.iter().zip(&outputs).all(|(mine, theirs)| {
                let first = mine.split('|').next();
                first == Some(theirs) || is_open(theirs, &inputs)
            });
        same_inputs && same_outputs
    }

    #[test]
    fn every_schema_of_onnx_and_onnxruntime_is_in_the_table() {
        let table: BTreeMap<_, _> = rows()
            .map(|(domain, op, versions)| ((domain.to_owned(), op.to_owned()), versions))
            .collect();
        let schemas = schemas();
        assert!(schemas.len() > 300, "the list was read: {}", schemas.len());
        for (name, versions) in &schemas {
            let row = table.get(name).unwrap_or_else(|| panic!("no {name:?}"));
            let ours: Vec<(i64, &str)> = row
                .split("; ")
                .map(|part| part.split_once(' ').expect("version and signature"))
                .map(|(since, signature)| (since.parse().expect("a version"), signature))
                .collect();
            for (since, signature) in versions {
                let held = ours.iter().rfind(|(from, _)| from <= since);
                let (_, mine) = held.unwrap_or_else(|| panic!("no {name:?} at {since}"));
                assert!(
                    agrees(mine, signature),
                    "{name:?} at {since}: {mine}, the schema: {signature}"
                );
            }
            for (from, _) in &ours {
                assert!(
                    versions.iter().any(|(since, _)| since == from),
                    "{name:?} has no version {from}"
                );
            }
        }
        let known: BTreeSet<_> = schemas.keys().cloned().collect();
        let more: Vec<_> = table.keys().filter(|name| !known.contains(name)).collect();
        assert!(
            more.iter().all(|(domain, _)| domain == "onnx_swish"),
            "{more:?}"
        );
    }

    #[test]
    fn an_input_of_another_type_never_decides() {
        assert!(agrees("T,_->T", "T,_->T"));
        assert!(!agrees("T,T->T", "T,_->T"), "indices are no data");
        assert!(!agrees("T,U->U", "T,U->T"));
        assert!(!agrees("T->int64", "T->float"));
    }

    #[test]
    fn every_row_can_be_read() {
        let known = |term: &str| {
            let bare = term.trim_end_matches('*');
            Variable::parse(bare).is_some()
                || DataType::parse(bare).is_some()
                || ["", "_", "?", "body", "body1"].contains(&bare)
                || bare.starts_with('@')
        };
        for (_, op, versions) in rows() {
            let mut before = 0;
            for part in versions.split("; ") {
                let (since, _) = version(part).unwrap_or_else(|| panic!("{op} {part}"));
                assert!(since > before, "{op}: versions in order");
                before = since;
                let (_, signature) = part.split_once(' ').expect("a signature");
                let terms = signature
                    .split("->")
                    .flat_map(|side| side.split([',', '|']));
                for term in terms {
                    assert!(known(term), "{op}: {term}");
                }
            }
        }
    }
}
