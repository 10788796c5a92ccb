//! Outputs that share blocks, next to the same plan without.

use tract_core::ops::array::TypedConcat;
use tract_core::ops::nn::sigmoid;

use tract_core::internal::*;

use super::*;
use crate::conv::tests::{noise, squeeze};

const IMAGE: [usize; 2] = [40, 30];

fn conv(model: &mut TypedModel, name: &str, x: OutletId, channels: [usize; 2]) -> OutletId {
    squeeze::conv(model, name, x, channels, 1, 3)
}

/// Chains of convolutions, large and small; readers of tract's, in place and not; long lives; outputs that leave.
fn plan() -> Arc<TypedSimplePlan> {
    let mut model = TypedModel::default();
    let [height, width] = IMAGE;
    let x = f32::fact([1, 8, height, width]);
    let mut x = model.add_source("x", x).unwrap();
    for (i, channels) in [
        [8, 12],
        [12, 16],
        [16, 9],
        [9, 16],
        [16, 11],
        [11, 16],
        [16, 8],
    ]
    .into_iter()
    .enumerate()
    {
        x = conv(&mut model, &format!("chain {i}"), x, channels);
    }
    let a = conv(&mut model, "a", x, [8, 16]);
    let ab = conv(&mut model, "ab", a, [16, 8]);
    let abc = conv(&mut model, "abc", ab, [8, 32]);
    let abcd = conv(&mut model, "abcd", abc, [32, 8]);
    let sigmoids =
        |model: &mut TypedModel, name: &str, x| model.wire_node(name, sigmoid(), &[x]).unwrap()[0];
    let gate = sigmoids(&mut model, "in place", abcd);
    let behind = conv(&mut model, "behind", gate, [8, 8]);
    let both = model
        .wire_node("both", TypedConcat { axis: 1 }, &[behind, ab])
        .unwrap()[0];
    let last = conv(&mut model, "last one", both, [16, 8]);
    let aside = conv(&mut model, "aside too", abc, [32, 8]);
    let leaves = sigmoids(&mut model, "leaves in place", aside);
    let outputs = [last, leaves, gate];
    model.select_output_outlets(&outputs).unwrap();
    let mut model = model.into_decluttered().unwrap();
    crate::conv::take_over(&mut model, crate::conv::Convolutions::Ours, &HashMap::new()).unwrap();
    TypedSimplePlan::new(model.into_optimized().unwrap()).unwrap()
}

fn input(seed: u32) -> TVec<TValue> {
    tvec!(noise(&[1, 8, IMAGE[0], IMAGE[1]], seed).into_tvalue())
}

/// Where each block is.
fn addresses(arena: &Arena) -> Vec<Option<*const u8>> {
    let storage = |block: &Tensor| block.as_plain_ram_storage().map(PlainStorage::as_ptr);
    let slots = arena.slots.iter();
    slots
        .map(|slot| slot.lock().unwrap().as_ref().and_then(storage))
        .collect()
}

#[test]
fn runs_in_shared_blocks_give_what_runs_without_give_and_stay_in_them() {
    let plan = plan();
    let planned = Arc::new(ArenaPlan::of(&plan));
    assert!(planned.block_of.len() > planned.blocks.len(), "{planned:?}");
    let mut state = plan.spawn().unwrap();
    let arena = Arena::new(planned.clone());
    state.turn_state.shared.insert(arena.clone());
    let mut kept = Vec::new();
    let mut homes = Vec::new();
    for seed in 1..6 {
        kept.push((seed, state.run(input(seed)).unwrap()));
        homes.push(addresses(&arena));
    }
    // What left the plan is nobody's block, however often the plan has run since.
    for (seed, outputs) in kept {
        let expected = plan.run(input(seed)).unwrap();
        assert_eq!(outputs, expected, "run {seed}");
    }
    assert!(homes[0].iter().all(Option::is_some), "{planned:?}");
    assert!(homes.iter().all(|home| *home == homes[0]));
    arena.free();
    assert!(addresses(&arena).iter().all(Option::is_none));
    assert_eq!(state.run(input(9)).unwrap(), plan.run(input(9)).unwrap());
}

#[test]
fn who_is_alive_together_lives_apart() {
    let plan = plan();
    let (planned, model) = (ArenaPlan::of(&plan), plan.model());
    assert!(
        planned.block_of.len() > 3 * planned.blocks.len(),
        "{planned:?}"
    );
    let order = plan.order_without_consts();
    let step = |node: usize| order.iter().position(|it| *it == node).unwrap();
    let life = |node: usize| {
        let readers = model
            .node(node)
            .outputs
            .iter()
            .flat_map(|out| &out.successors);
        (step(node), readers.map(|it| step(it.node)).max().unwrap())
    };
    for (one, block) in &planned.block_of {
        let size = model.node(*one).outputs[0].fact.shape.volume();
        assert!(size.to_usize().unwrap() * size_of::<f32>() <= planned.blocks[*block]);
        for (other, _) in planned
            .block_of
            .iter()
            .filter(|it| it.1 == block && it.0 != one)
        {
            let (one, other) = (life(*one), life(*other));
            assert!(one.1 < other.0 || other.1 < one.0, "{planned:?}");
        }
    }
    let leaving = model.output_outlets().unwrap().iter().map(|out| out.node);
    // Memory that tract's sigmoids take over goes to the caller.
    let in_place = model
        .nodes()
        .iter()
        .filter(|node| node.name.contains("place"));
    let sources: Vec<usize> = in_place.map(|node| node.inputs[0].node).collect();
    assert_eq!(sources.len(), 2);
    for node in sources {
        assert!(!planned.block_of.contains_key(&node));
    }
    for node in leaving {
        assert!(!planned.block_of.contains_key(&node));
    }
}

fn one_block(elements: usize) -> Arena {
    Arena::new(Arc::new(ArenaPlan {
        blocks: vec![elements * size_of::<f32>()],
        block_of: [(3, 0)].into(),
        ..ArenaPlan::default()
    }))
}

fn lent(arena: &Arena, shape: &[usize]) -> Tensor {
    let mut shared = TurnState::default().shared;
    shared.insert(arena.clone());
    let context = EvalContext {
        node_id: 3,
        shared: Some(&shared),
        ..EvalContext::out_of_plan()
    };
    let mut next = 0.0;
    let count = |y: &mut [f32]| {
        y.fill_with(|| {
            next += 1.0;
            next
        });
        Ok(())
    };
    Arena::output(&context, shape, count).unwrap()
}

#[test]
fn tensors_in_blocks_are_tensors_to_tract() {
    let expected = Tensor::from_shape(&[2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    for elements_of_block in [6, 50] {
        let arena = one_block(elements_of_block);
        let tensor = lent(&arena, &[2, 3]);
        assert!(tensor.storage_as::<storage::ArenaTensor>().is_some());
        assert_eq!(
            elements::<f32>(&tensor).unwrap(),
            elements::<f32>(&expected).unwrap()
        );
        assert_eq!(tensor.deep_clone().into_plain_ram().unwrap(), expected);
        let slice = tensor.slice(1, 1, 3).unwrap();
        assert_eq!(slice, expected.slice(1, 1, 3).unwrap());
        assert_eq!(Tensor::stack_tensors(0, &[&tensor]).unwrap(), expected);
        assert_eq!(tensor.into_plain_ram().unwrap(), expected);
        // Whether the block left with it or not.
        assert_eq!(
            elements::<f32>(&lent(&arena, &[4])).unwrap(),
            [1.0, 2.0, 3.0, 4.0]
        );
    }
}

#[test]
fn a_tensor_gives_its_block_back_and_a_second_has_its_own_memory() {
    let arena = one_block(6);
    let first = lent(&arena, &[6]);
    let second = lent(&arena, &[6]);
    assert_ne!(
        elements::<f32>(&first).unwrap().as_ptr(),
        elements::<f32>(&second).unwrap().as_ptr()
    );
    let home = elements::<f32>(&second).unwrap().as_ptr();
    drop((first, second));
    assert_eq!(
        elements::<f32>(&lent(&arena, &[2, 3])).unwrap().as_ptr(),
        home
    );
    // What the planned does not know, or too large: memory as ever.
    assert!(lent(&arena, &[7]).has_plain_ram_storage());
}
