//! Measured numbers beside their budgets.

use std::fmt;

/// One line: measured, and what it may be at most.
pub(crate) struct Row {
    what: String,
    measured: f64,
    unit: &'static str,
    budget: f64,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, measured: f64, unit: &'static str, budget: f64) -> Self {
        Self { what: what.into(), measured, unit, budget }
    }
}

/// All lines.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| what | measured | budget | |\n|---|---|---|---|")?;
        for Row { what, measured, unit, budget } in &self.0 {
            let verdict = if measured <= budget { "met" } else { "missed" };
            writeln!(out, "| {what} | {measured:.2} {unit} | ≤ {budget} {unit} | {verdict} |")?;
        }
        Ok(())
    }
}
