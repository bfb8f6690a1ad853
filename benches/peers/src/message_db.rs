//! message-db: functions in the database. A stream is read with `get_stream_messages`, and written with `write_message`
//! and the version that was read.

use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio::process::Command;

use crate::Failure;
use crate::account::{Account, AddProfessional};
use crate::peer::{CONNECTIONS, Outcome, Peer, pool};

/// Installs the functions into a database, whose URL it takes.
const INSTALLER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/message_db.sh");
/// How the version of a stream that has no message yet is told to `write_message`.
const NO_STREAM: i64 = -1;

/// A database into which message-db was installed.
pub struct MessageDb {
    pool: PgPool,
}

/// Opens an empty message store, with the functions freshly installed.
pub async fn open(url: &str) -> Result<MessageDb, Failure> {
    let installed = Command::new(INSTALLER).arg(url).stdout(std::process::Stdio::null()).status().await?;
    if !installed.success() {
        return Err("message-db could not be installed".into());
    }
    // The functions call each other without the name of their schema.
    let options: PgConnectOptions = url.parse()?;
    let pool = pool(options.options([("search_path", "message_store,public")]), CONNECTIONS).await?;
    Ok(MessageDb { pool })
}

impl Peer for MessageDb {
    async fn add(&self, wish: AddProfessional) -> Result<Outcome, Failure> {
        // A write locks its stream's category, which is what stands before the first hyphen: one for each account is
        // what suits message-db best.
        let stream = format!("account{0}-{0}", wish.account.simple());
        let (account, version) = self.load(&stream).await?;
        let id = wish.professional.to_string();
        let Ok(event) = account.decide(wish) else { return Ok(Outcome::Refused) };
        let written = sqlx::query("select write_message($1, $2, 'ProfessionalAdded', $3::jsonb, null, $4)")
            .bind(id)
            .bind(stream)
            .bind(serde_json::to_string(&event)?)
            .bind(version)
            .execute(&self.pool)
            .await;
        match written {
            Ok(_) => Ok(Outcome::Appended),
            Err(sqlx::Error::Database(error)) if error.message().starts_with("Wrong expected version") => {
                Ok(Outcome::Conflict)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn count(&self) -> Result<i64, Failure> {
        Ok(sqlx::query_scalar("select count(*) from messages").fetch_one(&self.pool).await?)
    }
}

impl MessageDb {
    /// Reads an account and its stream's version.
    async fn load(&self, stream: &str) -> Result<(Account, i64), Failure> {
        // -1 asks for the whole stream.
        let messages: Vec<(i64, String)> = sqlx::query_as("select position, data from get_stream_messages($1, 0, -1)")
            .bind(stream)
            .fetch_all(&self.pool)
            .await?;
        let version = messages.last().map_or(NO_STREAM, |(position, _)| *position);
        let mut account = Account::default();
        for (_, data) in messages {
            account.evolve(serde_json::from_str(&data)?);
        }
        Ok((account, version))
    }
}
