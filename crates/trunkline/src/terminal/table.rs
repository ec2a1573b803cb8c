use super::Paint;

/// Aligned columns. The last one has no width.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

const GAP: &str = "  ";

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The head is bold, and columns of numbers are aligned to the right.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let widest = cells.map(|cell| cell.chars().count()).max();
                widest.unwrap_or_default().max(self.head[column].len())
            })
            .collect();
        let numeric: Vec<bool> = (0..self.head.len())
            .map(|column| {
                let mut cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.all(|cell| {
                    !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b',')
                })
            })
            .collect();
        let line = |cells: &[&str]| {
            let padded: Vec<String> = cells
                .iter()
                .zip(widths.iter().zip(&numeric))
                .map(|(cell, (width, numeric))| match numeric {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                })
                .collect();
            padded.join(GAP).trim_end().to_owned()
        };
        let mut text = paint.bold(&line(&self.head)) + "\n";
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            text.push_str(&line(&cells));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["id", "channel", "text"]);
        table.row(["7", "sms", "Hello"].map(str::to_owned));
        table.row(["1,000", "email", ""].map(str::to_owned));
        let shown = "   id  channel  text\n    7  sms      Hello\n1,000  email\n";
        assert_eq!(table.render(Paint::NONE), shown);
    }
}
