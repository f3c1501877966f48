//! The schema: made from nothing, harmless to run again, strict throughout.

use std::path::Path;

use drey::store::Store;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

async fn connect(path: &Path) -> sqlx::Result<SqlitePool> {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).create_if_missing(true)).await
}

/// All tables but those of SQLite and of the migrator itself, with whether they are strict.
async fn tables(pool: &SqlitePool) -> sqlx::Result<Vec<(String, bool)>> {
    let sql = r"SELECT name, strict FROM pragma_table_list
                WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name <> '_sqlx_migrations'
                ORDER BY name";
    sqlx::query_as(sql).fetch_all(pool).await
}

async fn schema(pool: &SqlitePool) -> sqlx::Result<Vec<String>> {
    let sql = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name";
    sqlx::query_scalar(sql).fetch_all(pool).await
}

#[tokio::test]
async fn an_empty_file_gets_strict_tables_and_a_second_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let pool = connect(&folder.path().join("empty.db")).await.unwrap();
    MIGRATIONS.run(&pool).await.unwrap();
    let tables = tables(&pool).await.unwrap();
    assert!(tables.iter().any(|(name, _)| name == "environment"), "{tables:?}");
    let lax: Vec<&String> = tables.iter().filter(|(_, strict)| !strict).map(|(name, _)| name).collect();
    assert!(lax.is_empty(), "not STRICT: {lax:?}");

    let before = schema(&pool).await.unwrap();
    MIGRATIONS.run(&pool).await.unwrap();
    assert_eq!(schema(&pool).await.unwrap(), before);
    let faults: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&pool).await.unwrap();
    assert_eq!(faults, ["ok"]);
}

#[test]
fn migrations_are_numbered_without_a_gap_and_only_go_forward() {
    let versions: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    let expected: Vec<i64> = (1..).take(versions.len()).collect();
    assert_eq!(versions, expected);
    assert!(MIGRATIONS.iter().all(|migration| !migration.migration_type.is_down_migration()));
}

#[tokio::test]
async fn a_database_of_a_newer_drey_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drey.db");
    Store::open(&path).await.unwrap().close().await;
    let pool = connect(&path).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let error = Store::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("drey.db") && error.contains("newer drey"), "{error}");
}
