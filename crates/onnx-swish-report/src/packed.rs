//! A document's JSON without its repetitions, as a page carries it.
//! Given: any JSON value of reasonable depth.
//! Promises: `assets/unpack.js` gives the same value back. Each text stands once, in order, without the beginning that it shares with the text
//! before it; the names of an object's fields stand once for all objects that have the same.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

/// Stands where an object has the position of its field names: what follows are the elements of a list.
const LIST: i64 = -1;
/// Texts are known by their position, in digits of this base, so that they differ from numbers.
const BASE: u32 = 36;

/// `texts`: pairs of how many UTF-16 units are those of the text before, and the rest. `fields`: lists of names. `value`: a list begins with
/// -1, an object with the position of its names; a text is its position in base 36; everything else is itself.
pub(crate) fn packed(value: &Value) -> Value {
    let mut texts = BTreeSet::new();
    collect(value, &mut texts);
    let mut packer = Packer {
        texts: texts.iter().copied().zip(0..).collect(),
        fields: Vec::new(),
        positions: HashMap::new(),
    };
    let value = packer.pack(value);
    json!({"texts": in_front(texts), "fields": packer.fields, "value": value})
}

fn collect<'v>(value: &'v Value, texts: &mut BTreeSet<&'v str>) {
    match value {
        Value::String(text) => {
            texts.insert(text);
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Front coding: names of one part of a model begin alike, and are neighbours once they are in order.
fn in_front(texts: BTreeSet<&str>) -> Vec<Value> {
    let mut pairs = Vec::with_capacity(2 * texts.len());
    let mut last = "";
    for text in texts {
        let alike = text.chars().zip(last.chars()).take_while(|(a, b)| a == b);
        let (mut units, mut bytes) = (0, 0);
        for (c, _) in alike {
            units += c.len_utf16();
            bytes += c.len_utf8();
        }
        pairs.push(units.into());
        pairs.push(text.get(bytes..).unwrap_or_default().into());
        last = text;
    }
    pairs
}

struct Packer<'v> {
    texts: HashMap<&'v str, u32>,
    fields: Vec<Vec<&'v str>>,
    positions: HashMap<Vec<&'v str>, usize>,
}

impl<'v> Packer<'v> {
    fn pack(&mut self, value: &'v Value) -> Value {
        match value {
            Value::String(text) => {
                let position = self.texts.get(text.as_str()).copied();
                Value::String(digits(position.unwrap_or_default()))
            }
            Value::Array(items) => {
                let items = items.iter().map(|item| self.pack(item));
                std::iter::once(LIST.into()).chain(items).collect()
            }
            Value::Object(object) => {
                let position = self.position(object.keys().map(String::as_str).collect());
                let fields = object.values().map(|field| self.pack(field));
                std::iter::once(position.into()).chain(fields).collect()
            }
            other => other.clone(),
        }
    }

    fn position(&mut self, names: Vec<&'v str>) -> usize {
        let next = self.fields.len();
        let position = *self.positions.entry(names.clone()).or_insert(next);
        if position == next {
            self.fields.push(names);
        }
        position
    }
}

fn digits(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.extend(char::from_digit(number % BASE, BASE));
        number /= BASE;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{digits, packed};
    use serde_json::json;

    #[test]
    fn texts_and_names_of_fields_stand_once() {
        let value = json!([{"a": "blockade", "b": 1}, {"a": "block", "b": null}, {"a": "blocks"}, [true, "block"]]);
        let wanted = json!({
            "texts": [0, "block", 5, "ade", 5, "s"],
            "fields": [["a", "b"], ["a"]],
            "value": [-1, [0, "1", 1], [0, "0", null], [1, "2"], [-1, true, "0"]],
        });
        assert_eq!(packed(&value), wanted);
    }

    #[test]
    fn what_is_shared_is_counted_as_javascript_counts() {
        let texts = packed(&json!(["\u{1f600}ä1", "\u{1f600}ä2"]));
        assert_eq!(texts["texts"], json!([0, "\u{1f600}ä1", 3, "2"]));
    }

    #[test]
    fn positions_are_in_base_36() {
        let written = [0, 35, 36, 46655].map(digits);
        assert_eq!(written, ["0", "z", "10", "zzz"]);
    }
}
