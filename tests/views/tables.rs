//! A look into the tables from outside, and what must stand there: the log, folded in memory.

use std::collections::{BTreeMap, HashMap};

use domain::event::{Position, Recorded};
use projections::ALL;
use projections::view::{Definition, Value};
use sqlx::{AnyPool, AssertSqlSafe, Row as _};

use crate::log::bench::Bench;
use crate::log::check::readable;

/// The rows of a view, by key: every column as text.
pub type Rows = BTreeMap<String, Vec<String>>;

/// The views' database, as somebody from outside sees it.
pub struct Tables {
    pool: AnyPool,
    is_postgres: bool,
}

impl Tables {
    pub async fn of(bench: &Bench) -> Self {
        let pool = bench.location().views_pool(1).await.unwrap();
        Self { pool, is_postgres: bench.server().is_some() }
    }

    pub async fn run(&self, sql: &str) -> u64 {
        sqlx::query(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap().rows_affected()
    }

    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap()
    }

    /// The table that a view's name stands for.
    pub async fn live(&self, view: &str) -> String {
        let sql = format!("select generation from view_checkpoint where view = '{view}' and is_live = 1");
        format!("{view}_{}", self.number(&sql).await)
    }

    /// The names of all tables.
    pub async fn names(&self) -> Vec<String> {
        let sql = match self.is_postgres {
            true => "select cast(tablename as text) from pg_tables where schemaname = 'views' order by 1",
            false => "select name from sqlite_master where type = 'table' order by 1",
        };
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap()
    }

    /// Drops everything, as if there had never been any views.
    pub async fn drop_all(bench: &Bench) {
        match (bench.folder(), bench.server()) {
            (Some(folder), _) => {
                for file in ["views.db", "views.db-wal", "views.db-shm"] {
                    let _ = std::fs::remove_file(folder.join(file)); // whoever closed last has removed some of them
                }
            }
            (_, Some(server)) => {
                server.sql("drop schema views cascade; create schema views");
            }
            _ => unreachable!("a bench is one of the two"),
        }
    }

    pub async fn rows(&self, view: &Definition) -> Rows {
        let columns = view.columns.iter().map(|column| format!("coalesce(cast({} as text), 'null')", column.name()));
        let columns: Vec<String> = ["key".to_owned()].into_iter().chain(columns).chain(["body".to_owned()]).collect();
        let sql = format!("select {} from {}", columns.join(", "), view.name);
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.pool).await.unwrap();
        rows.iter().map(|row| (row.get(0), (1..columns.len()).map(|column| row.get(column)).collect())).collect()
    }

    /// The position of every live view.
    pub async fn positions(&self) -> Vec<Position> {
        let sql = "select position from view_checkpoint where is_live = 1 order by view";
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap()
    }

    /// Checks that every view is the fold of the whole log.
    pub async fn equal(&self, log: &[Recorded]) {
        let head = log.last().map_or(0, |recorded| recorded.position);
        assert_eq!(self.positions().await, vec![head; ALL.len()]);
        for view in ALL {
            let (rows, expected) = (self.rows(view).await, folded(view, log, usize::MAX));
            assert!(!expected.is_empty(), "{} has rows to compare", view.name);
            for (key, row) in &expected {
                assert_eq!(rows.get(key), Some(row), "{} {key}", view.name);
            }
            assert_eq!(rows.len(), expected.len(), "{} has rows that it should not have", view.name);
        }
    }

    /// Checks that every view is the fold of the whole log, as a writer of its own reads it.
    pub async fn equal_the_log(bench: &Bench) -> Vec<Recorded> {
        let log = readable(&bench.writer().await).await;
        Self::of(bench).await.equal(&log).await;
        log
    }
}

/// Folds a log in pages of this size, in memory.
pub fn folded(view: &Definition, log: &[Recorded], page_size: usize) -> Rows {
    let mut rows: HashMap<String, (Vec<Value>, String)> = HashMap::new();
    for page in log.chunks(page_size.min(log.len().max(1))) {
        let keys = (view.keys)(page);
        let bodies = keys.iter().filter_map(|key| Some((key.clone(), rows.get(key)?.1.clone()))).collect();
        for (key, row) in (view.fold)(bodies, page).unwrap() {
            match row {
                Some(row) => drop(rows.insert(key, row)),
                None => drop(rows.remove(&key)),
            }
        }
    }
    let as_text = |value| match value {
        Value::Text(text) => text.unwrap_or_else(|| "null".into()),
        Value::Number(number) => number.map_or_else(|| "null".into(), |number| number.to_string()),
    };
    rows.into_iter()
        .map(|(key, (columns, body))| (key, columns.into_iter().map(as_text).chain([body]).collect()))
        .collect()
}
