//! Tables in the house style: no rules, two blanks between columns, numbers at one line.
//! Given a header.
//! Promises a table that fits the terminal, when there is one.

use std::io::{self, IsTerminal};
use std::ops::Range;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use crate::term::Term;

impl Term {
    /// An empty table in the house style, fitted to the terminal when there is one.
    pub fn table<const N: usize>(&self, header: [&str; N]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        if io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        table
    }
}

/// Numbers end at one line.
pub fn align_right(table: &mut Table, columns: Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
            // A number that is split over two lines is two numbers: the words give way.
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}
