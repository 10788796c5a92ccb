//! `TrainingInfoProto`: only the names in it matter, since what training reads or sets must stay as it is.

use super::{Builder, Index, Once};
use crate::error::{Error, Result};
use crate::scope::ScopeKind;
use crate::span::Located;
use crate::wire::{Reader, fields};

impl Builder<'_> {
    /// Reads the training graphs apart from the model's own, and keeps the names they mention.
    pub(super) fn training(&mut self, training: &[Located]) -> Result<()> {
        const TRAINING: &str = "TrainingInfoProto";
        let wire = Error::wire(TRAINING);
        let mut apart = Builder {
            bytes: self.bytes,
            index: Index {
                entries: self.index.entries,
                ..Index::default()
            },
            queue: Default::default(),
        };
        for info in training {
            let mut reader = Reader::new(self.bytes, info.span);
            let mut once = Once::default();
            while let Some(field) = reader.next().map_err(&wire)? {
                let Some(located) = field.located() else {
                    continue;
                };
                match field.number {
                    1 => {
                        once.check(TRAINING, 1, "initialization", field.start)?;
                        apart.enqueue(ScopeKind::Main, located, 0)?;
                    }
                    2 => {
                        once.check(TRAINING, 2, "algorithm", field.start)?;
                        apart.enqueue(ScopeKind::Main, located, 0)?;
                    }
                    3 | 4 => {
                        let entry = fields(self.bytes, located.span);
                        for name in entry.filter(|f| f.number <= 2).filter_map(|f| f.bytes()) {
                            self.count()?;
                            self.index.pinned.push(name);
                        }
                    }
                    _ => {}
                }
            }
        }
        apart.drain()?;
        let scopes = apart.index.scopes.iter();
        let outputs = scopes.flat_map(|scope| scope.outputs.iter().map(|value| value.name));
        self.index.pinned.extend(outputs);
        self.index.pinned.extend(apart.index.names);
        self.index.training_scopes = apart.index.scopes;
        Ok(())
    }
}
