//! Validation: the rules that every runtime relies on, checked before one meets the model.
//!
//! Given: an indexed model. Promises: linear time, no recursion, and that a model which passes has graphs whose values
//! are all made, once and without circles, functions that end, attributes that are what they say, and stored tensors
//! whose data fills their shape. It does not know the operators.

mod functions;
mod graph;
mod node;
mod tensors;

use crate::error::display;
use crate::model::Model;
use crate::scope::ScopeKind;

/// Most broken rules that are reported one by one.
const MAX_DEFECTS: usize = 50;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Where, such as `main > If out.then_branch`.
    pub place: String,
    /// What.
    pub problem: Problem,
}

/// What is wrong at a place. Names are as people should see them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A value that is read is made nowhere.
    #[error("{node} reads `{value}`, which nothing makes")]
    Undefined {
        /// The reader.
        node: String,
        /// The value.
        value: String,
    },
    /// An output that is made nowhere.
    #[error("the output `{value}` is made by nothing")]
    UndefinedOutput {
        /// The value; may be empty.
        value: String,
    },
    /// A value that is made more than once.
    #[error("`{value}` is made more than once")]
    Redefined {
        /// The value.
        value: String,
    },
    /// An input or a stored tensor has no name.
    #[error("{0} has no name")]
    Unnamed(&'static str),
    /// Nodes wait for each other.
    #[error("{node} needs its own result, directly or through others")]
    Cycle {
        /// One of them.
        node: String,
    },
    /// Functions call each other in a circle.
    #[error("function {function} calls itself, directly or through others")]
    RecursiveFunction {
        /// One of them.
        function: String,
    },
    /// Two functions that calls cannot tell apart.
    #[error("function {function} is defined more than once")]
    DuplicateFunction {
        /// Its name.
        function: String,
    },
    /// A call that names more values than the function has.
    #[error("{node} passes more values than function {function} has inputs or outputs")]
    Call {
        /// The call.
        node: String,
        /// The function.
        function: String,
    },
    /// The model uses a set of operators and does not say which version.
    #[error(
        "no version of the operators of domain `{domain}` is imported, and {node} is one of them"
    )]
    NotImported {
        /// The domain.
        domain: String,
        /// A node of it.
        node: String,
    },
    /// Two versions of one set of operators, or a version below 1.
    #[error("the versions imported of domain `{domain}` contradict each other, or are below 1")]
    Opset {
        /// The domain.
        domain: String,
    },
    /// No version of the format.
    #[error("ir_version is missing or below 1")]
    IrVersion,
    /// An attribute that contradicts itself.
    #[error("attribute `{attribute}` of {node} {why}")]
    Attribute {
        /// The attribute.
        attribute: String,
        /// Its node.
        node: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A stored tensor that contradicts itself.
    #[error("stored tensor `{tensor}` {why}")]
    Tensor {
        /// The tensor; attributes go by the name of their node.
        tensor: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A constant makes a node ask for more memory than there is.
    #[error("{node} would make a tensor of more than 2^{} elements", tensors::MAX_ELEMENTS.ilog2())]
    TooLarge {
        /// The node.
        node: String,
    },
    /// A value whose stated shape is more than there is memory for.
    #[error("the stated shape of `{value}` has more than 2^{} elements", tensors::MAX_ELEMENTS.ilog2())]
    ShapeTooLarge {
        /// The value.
        value: String,
    },
}

/// The rules that a model breaks: at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalid {
    /// The first of them.
    pub defects: Vec<Defect>,
    /// How many more there are.
    pub more: usize,
}

impl std::error::Error for Invalid {}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.defects.first().map(|defect| &defect.problem);
        f.write_str(match first {
            Some(Problem::TooLarge { .. } | Problem::ShapeTooLarge { .. }) => {
                "the model asks for more memory than there is: "
            }
            _ => "the model is not valid: ",
        })?;
        if let Some(Defect { place, problem }) = self.defects.first() {
            write!(f, "in {place}, {problem}")?;
        }
        match self.defects.len().saturating_sub(1) + self.more {
            0 => Ok(()),
            1 => f.write_str(" (and one more problem)"),
            n => write!(f, " (and {n} more problems)"),
        }
    }
}

/// Checks a model.
///
/// # Errors
/// The rules it breaks.
pub fn validate(model: &Model) -> Result<(), Invalid> {
    let mut checker = Checker {
        model,
        found: Invalid::default(),
        place: None,
    };
    checker.head();
    checker.functions();
    checker.graphs();
    for (i, scope) in model.scopes().iter().enumerate() {
        checker.place = Some(i);
        checker.nodes(i, scope);
        checker.tensors(scope);
    }
    if checker.found.defects.is_empty() {
        Ok(())
    } else {
        Err(checker.found)
    }
}

struct Checker<'m> {
    model: &'m Model,
    found: Invalid,
    place: Option<usize>,
}

impl Checker<'_> {
    fn report(&mut self, problem: Problem) {
        if self.found.defects.len() >= MAX_DEFECTS {
            self.found.more += 1;
            return;
        }
        let place = match self.place {
            Some(scope) => self.model.describe_scope(scope),
            None => "the model".to_string(),
        };
        self.found.defects.push(Defect { place, problem });
    }

    fn head(&mut self) {
        if self.model.ir_version() < 1 {
            self.report(Problem::IrVersion);
        }
        self.imports(self.model.opset_imports());
        for function in self.model.functions() {
            self.place = Some(function.scope());
            self.imports(function.opset_imports());
            self.defaults(function);
        }
        self.place = None;
    }

    fn imports(&mut self, imports: &[crate::OpsetImport]) {
        let mut versions = std::collections::HashMap::new();
        for import in imports {
            let domain = match self.model.text(import.domain()) {
                b"ai.onnx" => b"",
                domain => domain,
            };
            let version = *versions.entry(domain).or_insert(import.version());
            if version != import.version() || version < 1 {
                self.report(Problem::Opset {
                    domain: display(domain),
                });
            }
        }
    }

    /// The function whose body a scope is in, if it is in one.
    fn function_of(&self, scope: usize) -> Option<usize> {
        let mut here = self.model.scopes().get(scope)?;
        loop {
            here = match here.kind() {
                ScopeKind::Main => return None,
                ScopeKind::Function(function) => return Some(function as usize),
                ScopeKind::Subgraph(subgraph) => {
                    self.model.scopes().get(subgraph.parent as usize)?
                }
            };
        }
    }
}
