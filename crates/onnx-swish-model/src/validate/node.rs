//! Nodes: their operators' versions are known, and their attributes are what they say.

use std::collections::HashSet;

use super::{Checker, Problem};
use crate::error::display;
use crate::node::{Attribute, NodeRef};
use crate::scope::{Function, Scope};

impl<'m> Checker<'m> {
    pub(super) fn nodes(&mut self, id: usize, scope: &'m Scope) {
        let model = self.model;
        let function = self.function_of(id).and_then(|i| model.functions().get(i));
        // Files from before operator sets were versioned import nothing.
        let unversioned = model.opset_imports().is_empty() && model.ir_version() < 3;
        let imports = |domain: &[u8]| match function {
            Some(function) => model.function_opset_of(function, domain).is_some(),
            None => unversioned || model.opset_of(domain).is_some(),
        };
        // One report per domain says it all.
        let mut known = HashSet::new();
        for node in scope.nodes() {
            let node = model.node_ref(node);
            if known.insert(node.domain()) && !imports(node.domain()) {
                self.report(Problem::NotImported {
                    domain: display(node.domain()),
                    node: node.describe(),
                });
            }
            if node.node().has_attributes() {
                self.attributes(node, function.is_some());
            }
        }
        self.constant_shapes(scope);
    }

    fn attributes(&mut self, node: NodeRef<'_>, in_function: bool) {
        self.attribute_list(&|| node.describe(), node.attributes(), in_function);
    }

    /// The defaults of a function's attributes, which refer to nothing.
    pub(super) fn defaults(&mut self, function: &Function) {
        let defaults = function.attribute_protos.iter();
        let defaults = defaults.map(|&located| Attribute::new(self.model, located));
        let model = self.model;
        let owner = || format!("function {}", model.function_name(function));
        self.attribute_list(&owner, defaults, false);
    }

    fn attribute_list<'a>(
        &mut self,
        owner: &dyn Fn() -> String,
        attributes: impl Iterator<Item = Attribute<'a>>,
        in_function: bool,
    ) {
        let mut names = HashSet::new();
        for attribute in attributes {
            let name = attribute.name();
            let referenced = !attribute.ref_attr_name().is_empty();
            let why = if name.is_empty() {
                "has no name"
            } else if !names.insert(name) {
                "is given twice"
            } else if referenced && !in_function {
                "refers to an attribute of a function and is in none"
            } else if referenced && attribute.has_value() {
                "has a value and refers to another"
            } else if !attribute.is_consistent() {
                "has a value of another type than it says"
            } else {
                attribute.each_tensor(&mut |tensor| {
                    if let Some(why) = self.tensor_defect(tensor) {
                        let tensor = format!("{} of {}", display(name), owner());
                        self.report(Problem::Tensor { tensor, why });
                    }
                });
                continue;
            };
            self.report(Problem::Attribute {
                attribute: display(name),
                node: owner(),
                why,
            });
        }
    }
}
