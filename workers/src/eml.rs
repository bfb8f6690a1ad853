//! The development mailbox: each mail becomes a file in a folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use domain::time::Timestamp;
use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::mail::{OutgoingMail, Sender};
use crate::mailer::{Mailer, Outcome};

/// Writes each mail as `{mail id}.eml` into a folder; a second copy of a mail replaces the first.
#[derive(Debug)]
pub struct Eml {
    folder: PathBuf,
    sender: Sender,
    written: AtomicU64,
}

impl Eml {
    /// Makes a mailbox in `folder`, which is created when the first mail comes.
    pub fn new(folder: PathBuf, sender: Sender) -> Self {
        Self { folder, sender, written: AtomicU64::new(0) }
    }

    /// Writes beside the target, then renames: a reader never sees half a mail.
    async fn write(&self, mail: &OutgoingMail, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder).await?;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let draft = self.folder.join(format!(".{}.{}.{number}", mail.mail, std::process::id()));
        let written = write_and_rename(&draft, &self.folder.join(format!("{}.eml", mail.mail)), bytes).await;
        if written.is_err() {
            let _ = fs::remove_file(&draft).await; // best effort: the first error is the one that matters
        }
        written
    }
}

#[async_trait]
impl Mailer for Eml {
    async fn send(&self, mail: &OutgoingMail, now: Timestamp) -> Outcome {
        let letter = match mail.letter(&self.sender, now) {
            Ok(letter) => letter,
            Err(error) => return Outcome::unbuildable(mail.mail, error),
        };
        match self.write(mail, &letter.bytes).await {
            Ok(()) => Outcome::sent(&format!("written to {}.eml", mail.mail)),
            Err(error) => Outcome::deferred(None, &format!("the development mailbox cannot be written: {error}")),
        }
    }
}

async fn write_and_rename(draft: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600); // owner only: a mail holds a link or a code
    let mut file = options.open(draft).await?;
    file.write_all(bytes).await?;
    file.flush().await?;
    fs::rename(draft, target).await
}
