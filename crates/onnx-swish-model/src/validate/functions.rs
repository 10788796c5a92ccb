//! Functions: each can be told from the others, and none calls itself.

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
    }
}
