//! Counts in sentences.
//!
//! Given a number and a word; promises English.

/// `1 row`, `2 rows`.
pub(crate) fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
