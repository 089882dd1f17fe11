//! Databases for unit tests of the store: an SQLite file always, and PostgreSQL too when
//! `WABRIDGE_TEST_POSTGRES` holds the URL of a server on which databases may be made
//! (`postgres://user:password@host/postgres`).

use std::{
    cell::RefCell,
    collections::BTreeMap,
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
};

use sea_orm::{ConnectionTrait, Database, Value};

use super::{
    Store,
    vault::{MasterKey, Vault},
};
use crate::settings::{self, Settings};

/// Runs a test on each kind of database, each time on a new one.
pub(crate) async fn on_each_database<Test, Done>(test: Test)
where
    Test: Fn(Store) -> Done,
    Done: Future<Output = ()>,
{
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("test.db");
    test(open(format!("sqlite://{}", file.display())).await).await;
    if let Ok(server) = std::env::var("WABRIDGE_TEST_POSTGRES") {
        let (base, _) = server.rsplit_once('/').expect("the URL ends with the name of a database");
        let name = new_name();
        run(&server, &format!("CREATE DATABASE {name}")).await;
        test(open(format!("{base}/{name}")).await).await;
        run(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
}

async fn open(url: String) -> Store {
    let settings = settings::Database { url: url.into(), ..Settings::defaults().database };
    Store::open(&settings, Vault::new(&MasterKey::random())).await.expect("a new database opens")
}

async fn run(server: &str, statement: &str) {
    let connection = Database::connect(server).await.expect("the server that the environment names");
    connection.execute_unprepared(statement).await.expect("databases may be made on it");
    connection.close().await.expect("it was open");
}

/// Tests run side by side, and so may several runs.
fn new_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("wabridge_test_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

type Statements = BTreeMap<String, Vec<Value>>;

thread_local! {
    /// The statements of this test, which has its thread for itself; nothing while nobody listens.
    static HEARD: RefCell<Option<Statements>> = const { RefCell::new(None) };
}

/// From now on every statement of this test is kept.
pub(crate) fn listen() {
    HEARD.set(Some(Statements::new()));
}

/// What was asked of the database since, each text once with values that it had.
pub(crate) fn heard() -> Statements {
    HEARD.take().unwrap_or_default()
}

pub(super) fn hear(sql: &str, values: &[Value]) {
    HEARD.with_borrow_mut(|heard| {
        if let Some(statements) = heard {
            statements.insert(sql.to_owned(), values.to_vec());
        }
    });
}
