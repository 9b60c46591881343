//! Aligned columns for people: two blanks between them, numbers to the right, no lines.

/// Which end of its column a cell keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Rows under titles. [`Table::take`] can be called again for more rows: titles come once, columns only widen.
#[derive(Debug)]
pub struct Table {
    aligns: Vec<Align>,
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table whose titles say the columns: those that begin with `>` keep to the right.
    pub fn new<const N: usize>(titles: [&str; N]) -> Table {
        let align = |title: &str| if title.starts_with('>') { Align::Right } else { Align::Left };
        let mut table = Table { aligns: titles.map(align).to_vec(), widths: vec![0; N], rows: Vec::new() };
        table.row(titles.map(|title| title.trim_start_matches('>')));
        table
    }

    /// Adds a row; its cells are from the left, absent ones are empty.
    pub fn row<const N: usize>(&mut self, cells: [impl ToString; N]) {
        debug_assert!(N <= self.aligns.len());
        self.rows.push(cells.iter().map(ToString::to_string).collect());
    }

    /// Keeps a column at least so wide.
    pub fn widen(mut self, column: usize, width: usize) -> Table {
        self.widths[column] = self.widths[column].max(width);
        self
    }

    /// The rows so far as lines; they are gone from the table.
    pub fn take(&mut self) -> String {
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for ((cell, &width), align) in row.iter().zip(&self.widths).zip(&self.aligns) {
                match align {
                    Align::Left => line.push_str(&format!("{cell:<width$}  ")),
                    Align::Right => line.push_str(&format!("{cell:>width$}  ")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names and values below each other.
pub fn pairs<const N: usize>(pairs: [(&str, String); N]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}
