//! One database for each test, gone when the test is over.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use migrations::MigratorTrait;
use sea_orm::ConnectionTrait;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use wabridge::{
    settings::Settings,
    store::{
        Store,
        vault::{MasterKey, Vault},
    },
};

/// Names a PostgreSQL on which databases may be made.
const POSTGRES_VARIABLE: &str = "WABRIDGE_TEST_POSTGRES";

/// A new, empty database: a copy of one that has been migrated, which is quicker than to migrate each. PostgreSQL's is removed
/// when it is dropped, SQLite's goes with the test's folder.
pub(crate) enum Database {
    /// What its file begins with.
    Sqlite(&'static [u8]),
    Postgres(PostgresDatabase),
}

pub(crate) struct PostgresDatabase {
    server: String,
    name: String,
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        static TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();
        Self::Sqlite(TEMPLATE.get_or_init(migrated_file).await)
    }

    pub(crate) async fn postgres() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var(POSTGRES_VARIABLE).unwrap_or_else(|_| {
            panic!(
                "half of these tests need a PostgreSQL: run tests/run.sh, which starts one, or set {POSTGRES_VARIABLE} \
                 to the URL of one on which databases may be made, like postgres://user:password@127.0.0.1/postgres"
            )
        });
        let template = TEMPLATE.get_or_init(|| migrated_template(&server)).await;
        let name = format!("wabridge_test_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        run(&server, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        Self::Postgres(PostgresDatabase { server, name })
    }

    /// Puts SQLite's file into `folder`; gives back the URL.
    pub(crate) fn set_up(&self, folder: &TempDir) -> String {
        match self {
            Self::Sqlite(contents) => {
                let file = folder.path().join(SQLITE_FILE);
                let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
                created.and_then(|mut file| file.write_all(contents)).expect("the folder can be written");
                sqlite_url(&file)
            }
            Self::Postgres(database) => url_of(&database.server, &database.name),
        }
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // A test may end inside of a runtime, which must not be blocked by another.
        drop(std::thread::spawn(move || runtime().block_on(run(&server, &statement))).join());
    }
}

const SQLITE_FILE: &str = "wabridge.db";

fn sqlite_url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

/// As the bridge makes it, before anything is in it.
async fn migrated_file() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join(SQLITE_FILE);
    let settings = wabridge::settings::Database { url: sqlite_url(&file).into(), ..Settings::defaults().database };
    let store = Store::open(&settings, Vault::new(&MasterKey::random())).await.expect("SQLite makes it");
    store.close().await.expect("it was open");
    std::fs::read(&file).expect("it was made")
}

async fn migrated_template(server: &str) -> String {
    let name = format!("wabridge_test_{}_template", std::process::id());
    run(server, &format!("DROP DATABASE IF EXISTS {name}")).await;
    run(server, &format!("CREATE DATABASE {name}")).await;
    let connection = sea_orm::Database::connect(url_of(server, &name)).await.expect("the database was just made");
    migrations::Migrator::up(&connection, None).await.expect("migrations run on an empty database");
    // A database that somebody is connected to cannot be copied.
    connection.close().await.expect("it was open");
    name
}

async fn run(server: &str, statement: &str) {
    let connection = sea_orm::Database::connect(server)
        .await
        .unwrap_or_else(|error| panic!("could not reach the PostgreSQL that {POSTGRES_VARIABLE} names: {error}"));
    connection.execute_unprepared(statement).await.expect("databases may be made there");
    connection.close().await.expect("it was open");
}

/// The server's URL ends with the name of a database; here it is another one.
fn url_of(server: &str, name: &str) -> String {
    let (base, _) = server.rsplit_once('/').expect("the URL ends with the name of a database");
    format!("{base}/{name}")
}

/// Makes two tests of each scenario of a module, one on each kind of database.
macro_rules! on_each_database {
    ($($scenario:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario($crate::harness::Database::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario($crate::harness::Database::postgres().await).await;
            })+
        }
    };
}
pub(crate) use on_each_database;
