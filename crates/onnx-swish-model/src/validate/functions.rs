//! Functions: each can be told from the others, none calls itself, and calls fit.

use super::{Checker, Problem};
use crate::calls::Calls;

impl Checker<'_> {
    pub(super) fn functions(&mut self) {
        let model = self.model;
        if model.functions().is_empty() {
            return;
        }
        let calls = Calls::new(model);
        for &twice in &calls.duplicates {
            if let Some(function) = model.functions().get(twice) {
                let function = model.function_name(function);
                self.report(Problem::DuplicateFunction { function });
            }
        }
        if let Err(function) = calls.order() {
            let function = model
                .functions()
                .get(function)
                .map(|f| model.function_name(f));
            self.report(Problem::RecursiveFunction {
                function: function.unwrap_or_default(),
            });
        }
        for (i, scope) in model.scopes().iter().enumerate() {
            self.place = Some(i);
            for node in scope.nodes() {
                let function = calls.callee(node).and_then(|i| model.functions().get(i));
                let Some((function, body)) =
                    function.and_then(|f| Some((f, model.scopes().get(f.scope())?)))
                else {
                    continue;
                };
                let too_many = model.inputs(node).len() > body.inputs().len()
                    || model.outputs(node).len() > body.outputs().len();
                if too_many {
                    self.report(Problem::Call {
                        node: model.node_ref(node).describe(),
                        function: model.function_name(function),
                    });
                }
            }
        }
        self.place = None;
    }
}
