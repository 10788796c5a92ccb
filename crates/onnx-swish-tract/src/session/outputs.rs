//! What a run gives back.
//!
//! Given the tensors in the model's order; promises access by name and by position.

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The outputs of one run, in the model's order.
#[derive(Debug, Clone)]
pub struct Outputs {
    named: Vec<(String, Tensor)>,
}

impl Outputs {
    pub(crate) fn new(named: Vec<(String, Tensor)>) -> Outputs {
        Outputs { named }
    }

    /// The output of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        let found = self.named.iter().find(|(own, _)| own == name);
        found.map(|(_, tensor)| tensor).ok_or_else(|| {
            let known: Vec<String> = self
                .named
                .iter()
                .map(|(own, _)| format!("`{own}`"))
                .collect();
            Error::UnknownOutput {
                name: name.to_owned(),
                known: known.join(", "),
            }
        })
    }

    /// The outputs with their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.named
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

/// # Panics
/// If the model has no output of this name, as a map does; [`Outputs::get`] returns an error instead.
impl std::ops::Index<&str> for Outputs {
    type Output = Tensor;

    fn index(&self, name: &str) -> &Tensor {
        match self.get(name) {
            Ok(tensor) => tensor,
            Err(error) => panic!("{error}"),
        }
    }
}

impl std::ops::Index<usize> for Outputs {
    type Output = Tensor;

    fn index(&self, position: usize) -> &Tensor {
        &self.named[position].1
    }
}

impl IntoIterator for Outputs {
    type Item = (String, Tensor);
    type IntoIter = std::vec::IntoIter<(String, Tensor)>;

    fn into_iter(self) -> Self::IntoIter {
        self.named.into_iter()
    }
}
