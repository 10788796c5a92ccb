//! Tables in the house style: no rules, two blanks between columns, numbers at one line.
//! Given a header, rows, and how wide the terminal is.
//! Promises that no number and no word is split over two lines: where the columns do not fit side by side, each row's name gets a line of
//! its own, and where that does not help each cell does.

use std::fmt::Write as _;
use std::ops::Range;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};

/// Blanks between columns, and before what belongs to a row.
const GAP: usize = 2;

/// A table that is not laid out yet.
#[derive(Debug)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    numbers: Range<usize>,
    words: Option<usize>,
}

impl Table {
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            header: header.map(str::to_owned).into(),
            rows: Vec::new(),
            numbers: 0..0,
            words: None,
        }
    }

    /// Columns that end at one line.
    pub fn numbers(mut self, columns: Range<usize>) -> Self {
        self.numbers = columns;
        self
    }

    /// The column whose cells may be broken between words; all others hold what is one thing.
    pub fn words(mut self, column: usize) -> Self {
        self.words = Some(column);
        self
    }

    pub fn add_row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// As text of lines that are no longer than `columns`, if a single word is not; `None` where nobody cares.
    pub fn lay_out(&self, columns: Option<usize>) -> String {
        let Some(columns) = columns else {
            return self.side_by_side(&self.widest(), usize::MAX);
        };
        match self.fit(columns) {
            Some(widths) => self.side_by_side(&widths, columns),
            None => self
                .below_names(columns)
                .unwrap_or_else(|| self.below_each_other(columns)),
        }
    }

    /// The column that says what a row is of: the first that is no number.
    fn name(&self) -> usize {
        let mut columns = 0..self.header.len();
        columns
            .find(|at| !self.numbers.contains(at))
            .unwrap_or_default()
    }

    /// A row's name by itself, the other cells below it, if those fit side by side.
    fn below_names(&self, columns: usize) -> Option<String> {
        let name = self.name();
        let others = |row: &Vec<String>| {
            let mut row = row.clone();
            let name = (name < row.len()).then(|| row.remove(name));
            (name.unwrap_or_default(), row)
        };
        let left = |at: usize| if at > name { at - 1 } else { at };
        let (title, header) = others(&self.header);
        let mut rest = Self {
            header,
            rows: self.rows.iter().map(|row| others(row).1).collect(),
            numbers: left(self.numbers.start)..left(self.numbers.end),
            words: self.words.map(left),
        };
        let columns = columns.checked_sub(GAP)?;
        let widths = rest.fit(columns)?;
        let mut lines = vec![title];
        let indented = |text: String, lines: &mut Vec<String>| {
            lines.extend(text.lines().map(|line| format!("{:GAP$}{line}", "")));
        };
        let rows = std::mem::take(&mut rest.rows);
        indented(rest.side_by_side(&widths, columns), &mut lines);
        rest.header.clear();
        for (row, cells) in self.rows.iter().zip(rows) {
            lines.push(others(row).0);
            rest.rows = vec![cells];
            indented(rest.side_by_side(&widths, columns), &mut lines);
        }
        Some(lines.join("\n"))
    }

    /// The cells of a column, its header first.
    fn column(&self, at: usize) -> impl Iterator<Item = &str> {
        let rows = [&self.header].into_iter().chain(&self.rows);
        rows.map(move |row| row.get(at).map_or("", String::as_str))
    }

    fn widest(&self) -> Vec<usize> {
        let columns = 0..self.header.len();
        columns
            .map(|at| self.column(at).map(len).max().unwrap_or_default())
            .collect()
    }

    /// What a column needs if its header is broken between words, and its cells if they are words.
    fn narrowest(&self, at: usize) -> usize {
        let word = |text: &str| text.split(' ').map(len).max().unwrap_or_default();
        let header = self.header.get(at).map_or(0, |header| word(header));
        let whole = self.words != Some(at);
        let cells = self.column(at).skip(1);
        let cells = cells.map(|cell| if whole { len(cell) } else { word(cell) });
        cells.max().unwrap_or_default().max(header)
    }

    /// Widths that fit side by side, if there are such: the columns that have most to give become narrower.
    fn fit(&self, columns: usize) -> Option<Vec<usize>> {
        let mut widths = self.widest();
        let gaps = GAP * widths.len().saturating_sub(1);
        let narrowest: Vec<usize> = (0..widths.len()).map(|at| self.narrowest(at)).collect();
        while widths.iter().sum::<usize>() + gaps > columns {
            let slack = widths.iter_mut().zip(&narrowest);
            let (width, _) = slack
                .filter(|(width, least)| **width > **least)
                .max_by_key(|(width, least)| **width - **least)?;
            *width -= 1;
        }
        Some(widths)
    }

    fn side_by_side(&self, widths: &[usize], columns: usize) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(columns).unwrap_or(u16::MAX));
        if !self.header.is_empty() {
            table.set_header(&self.header);
        }
        for row in &self.rows {
            table.add_row(row);
        }
        for (at, (column, width)) in table.column_iter_mut().zip(widths).enumerate() {
            let gap = if at + 1 == widths.len() { 0 } else { GAP };
            column.set_padding((0, gap as u16));
            let width = u16::try_from(width + gap).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
            if self.numbers.contains(&at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt()
    }

    /// Each row under its first word, with the header's words before the cells.
    fn below_each_other(&self, columns: usize) -> String {
        let title = self.name();
        let labels = self.header.iter().map(|header| len(header));
        let label = labels.max().unwrap_or_default();
        let mut lines = Vec::new();
        for row in &self.rows {
            let name = row.get(title).map_or("", String::as_str);
            lines.push(match self.header.get(title) {
                Some(header) if !header.is_empty() => format!("{header}: {name}"),
                _ => name.to_owned(),
            });
            for (at, cell) in row.iter().enumerate() {
                if at == title || cell.is_empty() {
                    continue;
                }
                let header = self.header.get(at).map_or("", String::as_str);
                let indent = GAP + label + GAP;
                let mut line = format!("{:GAP$}{header:label$}", "");
                let mut room = 0;
                let pieces: Vec<&str> = if self.words == Some(at) {
                    cell.split(' ').collect()
                } else {
                    vec![cell]
                };
                for piece in pieces {
                    if room == 0 {
                        let _ = write!(line, "{:GAP$}{piece}", "");
                        room = columns.saturating_sub(indent + len(piece));
                    } else if len(piece) < room {
                        let _ = write!(line, " {piece}");
                        room -= len(piece) + 1;
                    } else {
                        let _ = write!(line, "\n{:indent$}{piece}", "");
                        room = columns.saturating_sub(indent + len(piece));
                    }
                }
                lines.push(line);
            }
        }
        lines.join("\n")
    }
}

/// As many columns of a terminal, for scripts that have a letter for each.
fn len(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            "output",
            "shape",
            "max abs",
            "of the row above",
            "first values",
        ])
        .numbers(2..4)
        .words(4);
        table.add_row(
            ["y", "[1, 1000]", "1.2e-7", "0.92x", "1.5 -0.25 3e-9 ..."].map(str::to_owned),
        );
        table.add_row(["probabilities", "[1]", "0", "12 %", "7"].map(str::to_owned));
        table
    }

    #[test]
    fn words_and_numbers_stay_whole_at_any_width() {
        let table = table();
        let whole = [
            "probabilities",
            "[1, 1000]",
            "1.2e-7",
            "0.92x",
            "12 %",
            "-0.25",
            "3e-9",
            "values",
        ];
        for columns in 24..120 {
            let text = table.lay_out(Some(columns));
            assert!(
                whole.iter().all(|part| text.contains(part)),
                "{columns}:\n{text}"
            );
        }
        for columns in 36..120 {
            let text = table.lay_out(Some(columns));
            assert!(
                text.lines().all(|line| len(line) <= columns),
                "{columns}:\n{text}"
            );
        }
    }

    #[test]
    fn long_names_have_a_line_of_their_own() {
        let mut table = Table::new(["activation", "operator", "ulp"]).numbers(2..3);
        table.add_row(["/features/0/Mul", "FusedSilu", "1.5"].map(str::to_owned));
        table.add_row(["y", "FusedHardSwish", "12"].map(str::to_owned));
        let expected = "\
activation
  operator        ulp
/features/0/Mul
  FusedSilu       1.5
y
  FusedHardSwish   12";
        assert_eq!(table.lay_out(Some(30)), expected);
    }

    #[test]
    fn a_narrow_terminal_has_rows_below_each_other() {
        let expected = "\
output: y
  shape             [1, 1000]
  max abs           1.2e-7
  of the row above  0.92x
  first values      1.5 -0.25
                    3e-9 ...";
        let text = table().lay_out(Some(32));
        assert!(text.starts_with(expected), "{text}");
        assert!(table().lay_out(None).starts_with("output         shape"));
    }
}
