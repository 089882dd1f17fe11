//! Statements over many rows of values: what makes a batch cheap.
//!
//! No two batches have the same number of rows, and a statement for each number would be prepared anew each time, which
//! costs more than running it. So rows of nulls fill a batch up to a power of two, and every statement is soon
//! among the prepared ones. Nulls are equal to nothing, so they match nothing where values are compared; an
//! insertion leaves them out, by its first column, which is never null in a table of ours.
//!
//! A batch is joined to a table by `CROSS JOIN … WHERE`: SQLite then goes through the batch and looks each row up. Left to
//! itself it takes a long batch for the larger of the two, and reads the whole table.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};

use super::{execute, query};

/// A statement binds at most this many values (SQLite's limit is 32,766, PostgreSQL's 65,535).
const BINDS_MAX: usize = 30_000;
/// A statement has at most this many rows of values; for more there are several statements.
pub(super) const STATEMENT_ROWS_MAX: usize = 256;

/// Runs `head VALUES (…), (…) tail` for all rows. A `head` that opens a bracket has it closed by its `tail`, which
/// must take no notice of a row of nulls.
pub(crate) async fn execute_rows<const COLUMNS: usize>(
    connection: &impl ConnectionTrait,
    head: &str,
    rows: Vec<[Value; COLUMNS]>,
    tail: &str,
) -> Result<u64, DbErr> {
    let mut done = 0;
    for (sql, values) in with_rows(connection.get_database_backend(), head, rows, tail) {
        done += execute(connection, sql, values).await?;
    }
    Ok(done)
}

/// As [`execute_rows`], for statements that return rows.
pub(crate) async fn query_rows<const COLUMNS: usize>(
    connection: &impl ConnectionTrait,
    head: &str,
    rows: Vec<[Value; COLUMNS]>,
    tail: &str,
) -> Result<Vec<QueryResult>, DbErr> {
    let mut found = Vec::new();
    for (sql, values) in with_rows(connection.get_database_backend(), head, rows, tail) {
        found.extend(query(connection, sql, values).await?);
    }
    Ok(found)
}

/// The statements for all rows, with their values.
fn with_rows<const COLUMNS: usize>(
    backend: DbBackend,
    head: &str,
    rows: Vec<[Value; COLUMNS]>,
    tail: &str,
) -> Vec<(String, Vec<Value>)> {
    const { assert!(STATEMENT_ROWS_MAX * COLUMNS <= BINDS_MAX) };
    let inserts = head.starts_with("INSERT") && !head.ends_with('(');
    let mut statements = Vec::with_capacity(rows.len().div_ceil(STATEMENT_ROWS_MAX));
    let mut rows = rows.into_iter().peekable();
    while let Some(first) = rows.peek() {
        let nulls: [Value; COLUMNS] = std::array::from_fn(|column| first[column].as_null());
        let chunk: Vec<[Value; COLUMNS]> = rows.by_ref().take(STATEMENT_ROWS_MAX).collect();
        let count = chunk.len().next_power_of_two();
        let list = placeholders(backend, count, COLUMNS);
        let sql = if inserts {
            format!("{head} SELECT * FROM (VALUES {list}) AS v WHERE v.column1 IS NOT NULL{tail}")
        } else {
            format!("{head} VALUES {list}{tail}")
        };
        let values = chunk.into_iter().chain(std::iter::repeat(nulls)).take(count).flatten();
        statements.push((sql, values.collect()));
    }
    statements
}

/// `($1,$2),($3,$4)`, or for SQLite `(?,?),(?,?)`: there a number is a name, and each of them is searched for among
/// all others, by the parser and again when it is bound.
fn placeholders(backend: DbBackend, rows: usize, columns: usize) -> String {
    use std::fmt::Write as _;
    if backend == DbBackend::Sqlite {
        let row = format!("({})", vec!["?"; columns].join(","));
        return vec![row; rows].join(",");
    }
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            let separator = if column == 0 { "" } else { "," };
            write!(text, "{separator}${}", row * columns + column + 1).expect("writing to a String cannot fail");
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn one_column(rows: usize) -> Vec<[Value; 1]> {
        (0..rows as i64).map(|row| [row.into()]).collect()
    }

    #[test]
    fn batches_of_any_size_share_a_few_statements() {
        let texts: BTreeSet<String> = (1..=700)
            .flat_map(|rows| with_rows(DbBackend::Sqlite, "INSERT INTO t (a)", one_column(rows), ""))
            .map(|(sql, _)| sql)
            .collect();

        assert_eq!(texts.len(), 9, "one for each power of two up to {STATEMENT_ROWS_MAX}");
    }

    #[test]
    fn rows_of_nulls_fill_a_statement_and_are_not_inserted() {
        let statements = with_rows(DbBackend::Postgres, "INSERT INTO t (a)", one_column(3), " ON CONFLICT DO NOTHING");

        let (sql, values) = statements.first().expect("one statement");
        assert_eq!(
            sql,
            "INSERT INTO t (a) SELECT * FROM (VALUES ($1),($2),($3),($4)) AS v WHERE v.column1 IS NOT NULL ON CONFLICT DO NOTHING"
        );
        assert_eq!(values[2..], [Value::BigInt(Some(2)), Value::BigInt(None)]);
        let (sql, _) = with_rows(DbBackend::Sqlite, "SELECT a FROM (", one_column(2), ") AS v").remove(0);
        assert_eq!(sql, "SELECT a FROM ( VALUES (?),(?)) AS v");
    }
}
