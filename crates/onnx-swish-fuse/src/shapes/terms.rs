//! Arithmetic of sizes that have no number yet.
//! Given: dimensions and elements of tensors of sizes.
//! Promises: the same expression is the same symbol, whoever computes it: `n·8·8 / (4·16)` is `n`, and two ways to `h·2` are
//! one. Expressions have a bounded length; a longer one is a symbol of its own.

use std::collections::HashMap;

use super::{Dim, Shapes, symbol};

/// Most symbols of a product.
const MAX_FACTORS: usize = 8;

/// `coefficient · symbol · symbol ..`, symbols sorted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Product {
    coefficient: i64,
    symbols: Vec<u32>,
}

/// An operator on sizes that leaves a term as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Opaque {
    /// A sum of two symbols, smaller first.
    Sum,
    /// A difference.
    Difference,
    /// A quotient, rounded to zero as integers are.
    Quotient,
}

/// Symbols that stand for terms.
#[derive(Debug, Default)]
pub(super) struct Terms {
    products: HashMap<Product, u32>,
    factors: HashMap<u32, Product>,
    /// `symbol + number`
    offsets: HashMap<(u32, i64), u32>,
    bases: HashMap<u32, (u32, i64)>,
    opaque: HashMap<(Opaque, Dim, Dim), u32>,
}

impl Shapes {
    /// The product of some sizes.
    pub(crate) fn product(&mut self, dims: &[Dim]) -> Dim {
        match self.factored(dims) {
            Some(product) => self.term(product),
            None => self.unknown(),
        }
    }

    /// A number that nothing else is known to equal, and that may be negative.
    pub(crate) fn unknown(&mut self) -> Dim {
        Dim::Symbol(self.symbol(0))
    }

    fn factored(&self, dims: &[Dim]) -> Option<Product> {
        let mut product = Product {
            coefficient: 1,
            symbols: Vec::new(),
        };
        for &dim in dims {
            match self.resolve(dim) {
                Dim::Known(number) => {
                    product.coefficient = product.coefficient.checked_mul(number)?;
                }
                Dim::Symbol(symbol) => match self.terms.factors.get(&symbol) {
                    Some(inner) => {
                        product.coefficient = product.coefficient.checked_mul(inner.coefficient)?;
                        product.symbols.extend_from_slice(&inner.symbols);
                    }
                    None => product.symbols.push(symbol),
                },
            }
            if product.symbols.len() > MAX_FACTORS {
                return None;
            }
        }
        product.symbols.sort_unstable();
        Some(product)
    }

    fn term(&mut self, product: Product) -> Dim {
        match (product.coefficient, &product.symbols[..]) {
            (0, _) => return Dim::Known(0),
            (number, []) => return Dim::Known(number),
            (1, &[symbol]) => return Dim::Symbol(symbol),
            _ => {}
        }
        if let Some(&symbol) = self.terms.products.get(&product) {
            return self.resolve(Dim::Symbol(symbol));
        }
        let sizes = product.coefficient >= 0
            && product
                .symbols
                .iter()
                .all(|&symbol| self.has(symbol, symbol::SIZE));
        let symbol = self.symbol(if sizes { symbol::SIZE } else { 0 });
        self.terms.factors.insert(symbol, product.clone());
        self.terms.products.insert(product, symbol);
        Dim::Symbol(symbol)
    }

    /// The product of `over` divided by the product of `under`, if that divides.
    pub(crate) fn exact_quotient(&mut self, over: &[Dim], under: &[Dim]) -> Option<Dim> {
        let (mut over, under) = (self.factored(over)?, self.factored(under)?);
        if over.coefficient.checked_rem(under.coefficient)? != 0 {
            return None;
        }
        over.coefficient /= under.coefficient;
        for symbol in under.symbols {
            let at = over.symbols.iter().position(|&other| other == symbol)?;
            over.symbols.remove(at);
        }
        Some(self.term(over))
    }

    /// `a + b`
    pub(crate) fn sum(&mut self, a: Dim, b: Dim) -> Dim {
        match (self.resolve(a), self.resolve(b)) {
            (Dim::Known(a), Dim::Known(b)) => self.number(a.checked_add(b)),
            (Dim::Symbol(symbol), Dim::Known(number))
            | (Dim::Known(number), Dim::Symbol(symbol)) => self.offset(symbol, number),
            (a, b) => self.opaque_term(Opaque::Sum, a.min(b), a.max(b)),
        }
    }

    /// `a - b`
    pub(crate) fn difference(&mut self, a: Dim, b: Dim) -> Dim {
        match (self.resolve(a), self.resolve(b)) {
            (a, b) if a == b => Dim::Known(0),
            (Dim::Known(a), Dim::Known(b)) => self.number(a.checked_sub(b)),
            (Dim::Symbol(symbol), Dim::Known(number)) => match number.checked_neg() {
                Some(number) => self.offset(symbol, number),
                None => self.unknown(),
            },
            (a, b) => self.opaque_term(Opaque::Difference, a, b),
        }
    }

    /// `a / b`, rounded to zero.
    pub(crate) fn quotient(&mut self, a: Dim, b: Dim) -> Dim {
        match (self.resolve(a), self.resolve(b)) {
            (Dim::Known(a), Dim::Known(b)) => self.number(a.checked_div(b)),
            (a, b) => match self.exact_quotient(&[a], &[b]) {
                Some(quotient) => quotient,
                None => self.opaque_term(Opaque::Quotient, a, b),
            },
        }
    }

    fn number(&mut self, number: Option<i64>) -> Dim {
        number.map_or_else(|| self.unknown(), Dim::Known)
    }

    fn offset(&mut self, symbol: u32, number: i64) -> Dim {
        let (base, before) = self
            .terms
            .bases
            .get(&symbol)
            .copied()
            .unwrap_or((symbol, 0));
        match before.checked_add(number) {
            None => self.unknown(),
            Some(0) => Dim::Symbol(base),
            Some(number) => {
                if let Some(&symbol) = self.terms.offsets.get(&(base, number)) {
                    return self.resolve(Dim::Symbol(symbol));
                }
                let size = number >= 0 && self.has(base, symbol::SIZE);
                let symbol = self.symbol(if size { symbol::SIZE } else { 0 });
                self.terms.offsets.insert((base, number), symbol);
                self.terms.bases.insert(symbol, (base, number));
                Dim::Symbol(symbol)
            }
        }
    }

    fn opaque_term(&mut self, op: Opaque, a: Dim, b: Dim) -> Dim {
        if let Some(&symbol) = self.terms.opaque.get(&(op, a, b)) {
            return self.resolve(Dim::Symbol(symbol));
        }
        let sizes = op != Opaque::Difference && self.is_size(a) && self.is_size(b);
        let symbol = self.symbol(if sizes { symbol::SIZE } else { 0 });
        self.terms.opaque.insert((op, a, b), symbol);
        Dim::Symbol(symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dim, Shapes};

    #[test]
    fn products_cancel() {
        let mut shapes = Shapes::default();
        let (n, h) = (shapes.named(None, b"n"), shapes.fresh());
        let k = Dim::Known;
        assert_eq!(
            shapes.exact_quotient(&[n, k(8), k(8)], &[k(4), k(16)]),
            Some(n)
        );
        assert_eq!(shapes.exact_quotient(&[n, k(8)], &[k(3)]), None);
        assert_eq!(shapes.exact_quotient(&[n, k(8)], &[k(0)]), None);
        let twice = shapes.product(&[h, k(2)]);
        assert_eq!(twice, shapes.product(&[k(2), h]));
        assert_eq!(shapes.quotient(twice, k(2)), h);
        let area = shapes.product(&[twice, n]);
        assert_eq!(shapes.exact_quotient(&[area], &[n, k(2)]), Some(h));
    }

    #[test]
    fn sums_cancel() {
        let mut shapes = Shapes::default();
        let (h, one) = (shapes.fresh(), Dim::Known(1));
        let more = shapes.sum(h, one);
        assert_ne!(more, h);
        assert_eq!(shapes.difference(more, one), h);
        let less = shapes.difference(h, one);
        assert!(!shapes.is_size(less), "0 - 1 is none");
        assert_eq!(shapes.sum(one, less), h);
    }

    #[test]
    fn too_large_numbers_are_unknown() {
        let mut shapes = Shapes::default();
        let most = Dim::Known(i64::MAX);
        assert!(matches!(shapes.product(&[most, most]), Dim::Symbol(_)));
        assert!(matches!(shapes.sum(most, most), Dim::Symbol(_)));
        let zero = Dim::Known(0);
        assert!(matches!(shapes.quotient(most, zero), Dim::Symbol(_)));
        let least = Dim::Known(i64::MIN);
        let minus = Dim::Known(-1);
        assert!(matches!(shapes.quotient(least, minus), Dim::Symbol(_)));
    }
}
