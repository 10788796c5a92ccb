//! A graph within a node of ours: the branches of If, the body of Loop.
//!
//! Given the graph with its types settled; promises that rewrites of the graph around it can reach it ([`crate::passes`]), and a plan
//! that is made once, of what they left.

use std::sync::OnceLock;

use tract_hir::internal::*;

use crate::load::typed;
use crate::passes;

#[derive(Debug, Clone)]
pub(crate) struct Body {
    model: TypedModel,
    plan: OnceLock<Arc<TypedSimplePlan>>,
}

impl Body {
    pub fn new(model: TypedModel) -> Body {
        Body {
            model,
            plan: OnceLock::new(),
        }
    }

    /// Rewritten as far as a graph that runs before the one around it is.
    pub fn alone(mut model: TypedModel) -> TractResult<Body> {
        passes::raw(&mut model)?;
        typed::declutter(&mut model)?;
        Ok(Body::new(model))
    }

    /// The graph as far as it was rewritten.
    pub fn graph(&self) -> &TypedModel {
        &self.model
    }

    pub fn rewrite(
        &mut self,
        work: &mut dyn FnMut(&mut TypedModel) -> TractResult<()>,
    ) -> TractResult<()> {
        self.plan = OnceLock::new();
        work(&mut self.model)
    }

    /// The graph lowered, ready to run.
    pub fn plan(&self) -> TractResult<&Arc<TypedSimplePlan>> {
        if let Some(plan) = self.plan.get() {
            return Ok(plan);
        }
        let mut model = self.model.clone();
        passes::codegen(&mut model)?;
        passes::lowered(&mut model)?;
        let plan = TypedSimplePlan::new(model)?;
        Ok(self.plan.get_or_init(|| plan))
    }
}
