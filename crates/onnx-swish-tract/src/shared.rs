//! Weights that the plans of a session share.
//!
//! Given what is made of weights while a plan is built; promises one copy for all plans that hold the same, for as long as one of them does.
//! Where nobody shares, everything is made anew.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tract_core::internal::{Tensor, TractResult, TypedModel};
use tract_core::ops::konst::Const;

/// Constants below this many bytes are left alone: there are many of them, and together they are little.
const WORTH_SHARING: usize = 4096;

/// What is known of something made: its type, and what it was made of by a number of 64 bits, which nobody can foretell.
type Key = (TypeId, u64);

/// What the plans of a session hold, found again by what it was made of.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    hashes: RandomState,
    kept: Mutex<HashMap<Key, Weak<dyn Any + Send + Sync>>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// Builds a plan of a session, which takes what others hold already from `shared`.
pub(crate) fn sharing<R>(shared: &Arc<Shared>, build: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<Shared>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _however_it_ends = Restore(CURRENT.replace(Some(shared.clone())));
    let built = build();
    shared.forget_what_is_gone();
    built
}

/// What `make` makes of the bytes of these weights by this description, or what was made of the same before.
pub(crate) fn once<T, E>(
    description: &dyn Debug,
    weights: &[&[u8]],
    make: impl FnOnce() -> Result<T, E>,
) -> Result<Arc<T>, E>
where
    T: Any + Send + Sync,
{
    let Some(shared) = CURRENT.with_borrow(Option::clone) else {
        return make().map(Arc::new);
    };
    let key = shared.key::<T>(|mut hasher| {
        format!("{description:?}").hash(&mut hasher);
        for part in weights {
            part.hash(&mut hasher);
        }
    });
    shared.get(key, || make().map(Arc::new))
}

impl Shared {
    fn key<T: Any>(&self, content: impl FnOnce(&mut dyn Hasher)) -> Key {
        let mut hasher = self.hashes.build_hasher();
        content(&mut hasher);
        (TypeId::of::<T>(), hasher.finish())
    }

    fn get<T, E>(&self, key: Key, make: impl FnOnce() -> Result<Arc<T>, E>) -> Result<Arc<T>, E>
    where
        T: Any + Send + Sync,
    {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept().get(&key).and_then(Weak::upgrade);
        if let Some(Ok(found)) = found.map(Arc::downcast) {
            return Ok(found);
        }
        let made = make()?;
        let any: Arc<dyn Any + Send + Sync> = made.clone();
        kept().insert(key, Arc::downgrade(&any));
        Ok(made)
    }

    fn forget_what_is_gone(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, weak| weak.strong_count() > 0);
    }

    /// A tensor with the same elements that is held already, or this one from now on.
    fn tensor(&self, tensor: &Arc<Tensor>) -> Option<Arc<Tensor>> {
        // The elements of others are not all that they hold.
        let is_bytes = tensor.datum_type().is_copy() && tensor.has_plain_ram_storage();
        if !is_bytes || tensor.as_bytes().len() < WORTH_SHARING {
            return None;
        }
        let key = self.key::<Tensor>(|mut hasher| {
            format!("{:?}", tensor.datum_type()).hash(&mut hasher);
            tensor.shape().hash(&mut hasher);
            tensor.as_bytes().hash(&mut hasher);
        });
        let kept = self.get(key, || Ok::<_, Infallible>(tensor.clone()));
        kept.ok()
    }
}

/// Gives a graph's constants up for those that are held already.
pub(crate) fn constants(model: &mut TypedModel) -> TractResult<()> {
    let Some(shared) = CURRENT.with_borrow(Option::clone) else {
        return Ok(());
    };
    for node in &mut model.nodes {
        let Some(own) = node.op_as::<Const>() else {
            continue;
        };
        if own.exotic_fact().is_none()
            && let Some(tensor) = shared.tensor(own.val())
        {
            for output in &mut node.outputs {
                output.fact.konst = Some(tensor.clone());
            }
            node.op = Box::new(Const::new(tensor)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tract_core::internal::*;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Packed(Vec<f32>);

    fn packed(by: &str, weights: &[f32]) -> Arc<Packed> {
        once(&by, &[bytemuck::cast_slice(weights)], || {
            Ok::<_, Infallible>(Packed(weights.to_vec()))
        })
        .unwrap()
    }

    #[test]
    fn what_is_made_of_the_same_is_made_once() {
        let shared = Arc::new(Shared::default());
        let first = sharing(&shared, || packed("a", &[1.0, 2.0]));
        sharing(&shared, || {
            assert!(Arc::ptr_eq(&first, &packed("a", &[1.0, 2.0])));
            for other in [
                packed("b", &[1.0, 2.0]),
                packed("a", &[1.0, -2.0]),
                packed("a", &[1.0]),
            ] {
                assert!(!Arc::ptr_eq(&first, &other));
            }
        });
        assert!(
            !Arc::ptr_eq(&first, &packed("a", &[1.0, 2.0])),
            "nobody shares here"
        );
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let shared = Arc::new(Shared::default());
        drop(sharing(&shared, || packed("a", &[1.0])));
        sharing(&shared, || ());
        assert!(shared.kept.lock().unwrap().is_empty());
    }

    #[test]
    fn constants_of_the_same_elements_are_one() {
        let shared = Arc::new(Shared::default());
        let model = |elements: Tensor| {
            let mut model = TypedModel::default();
            model.add_const("weights", elements).unwrap();
            constants(&mut model).unwrap();
            model.nodes[0].op_as::<Const>().unwrap().val().clone()
        };
        let zeros = |dt, shape: &[usize]| Tensor::zero_dt(dt, shape).unwrap();
        sharing(&shared, || {
            let first = model(zeros(DatumType::F32, &[64, 32]));
            assert!(Arc::ptr_eq(
                &first,
                &model(zeros(DatumType::F32, &[64, 32]))
            ));
            for other in [
                zeros(DatumType::I32, &[64, 32]),
                zeros(DatumType::F32, &[32, 64]),
            ] {
                assert!(!Arc::ptr_eq(&first, &model(other)));
            }
        });
    }
}
