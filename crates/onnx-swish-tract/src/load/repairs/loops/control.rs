//! How often a Loop turns, where that can be told before any data is there.
//!
//! Given a body and what is known of the values that it carries; promises the number of turns, or that the data decides.

use tract_hir::internal::*;

use super::BEFORE_CARRIED;

/// How far the turns of a loop can be counted before any data is there.
///
/// Recurrent layers compare a counter with a length: all that the condition reads is known from turn to turn, and only the rest
/// waits for the model's inputs. The sizes of what is collected are then known as well.
pub(super) struct Control<'a> {
    pub body: &'a InferenceModel,
    /// The carried values before the first turn, where they are known.
    pub before: Vec<Option<Arc<Tensor>>>,
    pub count: Option<i64>,
}

impl Control<'_> {
    /// Loops of more turns are counted while the model runs.
    const MOST: i64 = 1 << 16;

    /// `None` where the turns depend on the model's inputs.
    pub fn turns(mut self) -> TractResult<Option<i64>> {
        // Which carried values decide: those that the condition reads, and what these read in turn.
        let mut deciding = vec![false; self.before.len()];
        loop {
            let outputs =
                std::iter::once(0).chain(self.chosen(&deciding).into_iter().map(|at| 1 + at));
            let Some(read) = self.read(outputs)? else {
                return Ok(None);
            };
            let more: Vec<bool> = deciding
                .iter()
                .zip(&read)
                .map(|(own, read)| *own || *read)
                .collect();
            let known = more
                .iter()
                .zip(&self.before)
                .all(|(own, before)| !own || before.is_some());
            if !known {
                return Ok(None);
            }
            if more == deciding {
                break;
            }
            deciding = more;
        }
        let chosen = self.chosen(&deciding);
        if chosen.is_empty()
            && let Some(condition) = self.constant_condition()?
        {
            return Ok(if condition {
                self.count
            } else {
                Some(self.count.unwrap_or(1).min(1))
            });
        }
        let captured = self.captured()?;
        let plan = self.plan(&chosen, &captured)?;
        let mut state = plan.spawn()?;
        let mut turn = 0;
        while self.count.is_none_or(|count| turn < count) {
            if turn == Self::MOST {
                return Ok(None);
            }
            let mut own: TVec<TValue> = tvec!(tensor0(turn).into(), tensor0(true).into());
            for at in &chosen {
                let before = self.before.get(*at).cloned().flatten();
                own.push(before.context("a value that is not known")?.into_tvalue());
            }
            own.extend(
                captured
                    .iter()
                    .map(|(_, value)| value.clone().into_tvalue()),
            );
            let mut outputs = state.run(own)?.into_iter();
            turn += 1;
            let condition = outputs.next().context("a body without a condition")?;
            if !condition.nth(0)?.cast_to_scalar::<bool>()? {
                break;
            }
            for (at, after) in chosen.iter().zip(outputs) {
                if let Some(before) = self.before.get_mut(*at) {
                    let dt = before
                        .as_ref()
                        .map_or(after.datum_type(), |it| it.datum_type());
                    *before = Some(after.cast_to_dt(dt)?.into_owned().into_arc_tensor());
                }
            }
        }
        Ok(Some(turn))
    }

    fn chosen(&self, deciding: &[bool]) -> Vec<usize> {
        (0..self.before.len())
            .filter(|at| deciding.get(*at).copied().unwrap_or(false))
            .collect()
    }

    fn constant_condition(&self) -> TractResult<Option<bool>> {
        let outlet = *self
            .body
            .output_outlets()?
            .first()
            .context("a body without a condition")?;
        let value = self.body.outlet_fact(outlet)?.value.concretize();
        // A condition that is passed through stays true.
        let passed = self.body.input_outlets()?.get(1) == Some(&outlet);
        Ok(match value {
            Some(value) => Some(value.nth(0)?.cast_to_scalar::<bool>()?),
            None => passed.then_some(true),
        })
    }

    /// Which carried values these outputs read; `None` if also something that is not known.
    fn read(&self, outputs: impl Iterator<Item = usize>) -> TractResult<Option<Vec<bool>>> {
        let inputs = self.body.input_outlets()?;
        let mut read = vec![false; self.before.len()];
        let mut seen = std::collections::HashSet::new();
        let all = self.body.output_outlets()?;
        let mut open: Vec<OutletId> = outputs.filter_map(|at| all.get(at).copied()).collect();
        while let Some(outlet) = open.pop() {
            let known = self.body.outlet_fact(outlet)?.value.concretize().is_some();
            if known || !seen.insert(outlet.node) {
                continue;
            }
            match inputs.iter().position(|input| input.node == outlet.node) {
                None => open.extend(&self.body.node(outlet.node).inputs),
                Some(at) if at < BEFORE_CARRIED => {}
                Some(at) => match read.get_mut(at - BEFORE_CARRIED) {
                    Some(carried) => *carried = true,
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(read))
    }

    /// The values that the body takes from around it, where they are known.
    fn captured(&self) -> TractResult<Vec<(usize, Arc<Tensor>)>> {
        let mut captured = Vec::new();
        let inputs = self.body.input_outlets()?.iter().enumerate();
        for (at, outlet) in inputs.skip(BEFORE_CARRIED + self.before.len()) {
            if let Some(value) = self.body.outlet_fact(*outlet)?.value.concretize() {
                captured.push((at, value));
            }
        }
        Ok(captured)
    }

    /// What computes the condition and these carried values from one turn to the next.
    fn plan(
        &self,
        chosen: &[usize],
        captured: &[(usize, Arc<Tensor>)],
    ) -> TractResult<Arc<TypedSimplePlan>> {
        let mut body = self.body.clone();
        let (inputs, outputs) = (
            body.input_outlets()?.to_vec(),
            body.output_outlets()?.to_vec(),
        );
        let pick = |all: &[OutletId], first: usize, offset: usize| -> TractResult<Vec<OutletId>> {
            let slots = (0..first).chain(chosen.iter().map(|at| offset + at));
            let picked: Option<Vec<OutletId>> = slots.map(|slot| all.get(slot).copied()).collect();
            picked.context("a carried value that the body does not have")
        };
        let mut own = pick(&inputs, BEFORE_CARRIED, BEFORE_CARRIED)?;
        own.extend(captured.iter().filter_map(|(at, _)| inputs.get(*at)));
        body.set_input_outlets(&own)?;
        body.select_output_outlets(&pick(&outputs, 1, 1)?)?;
        TypedSimplePlan::new(body.into_compact()?.into_typed()?.into_decluttered()?)
    }
}
