//! Our own socket under the SMTP client: plain or TLS, without Nagle's delay, one clean reply line at a time.
//!
//! The client above it reads lines without a limit, takes no reply in another charset than UTF-8, none without text
//! (`250` alone, which RFC 5321 section 4.2 tells clients to accept), and panics on a blank line in the answer to
//! `EHLO`. Each of these would turn a definite reply into an unknown outcome, so lines are cleaned here.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use lettre::transport::smtp::response::Response;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest reply line, in bytes: RFC 5321 allows 512; the client above gives up at 1,000.
const LINE_BYTES_MAX: usize = 990;
/// Most lines of one reply: far more than any server has extensions; the client's work grows with their square.
const REPLY_LINES_MAX: usize = 200;
/// What one read takes from the socket, in bytes.
const CHUNK_BYTES: usize = 1_024;
/// The greeting that the client is given after STARTTLS, where the server sends none.
const GREETING_BEFORE_TLS: &str = "220 greeted before TLS\r\n";

#[derive(Debug)]
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection to a mail server that hands out clean reply lines.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    peer: SocketAddr,
    /// Read, but no whole line yet, or lines after the one in `line`.
    raw: Vec<u8>,
    /// The clean line that is being handed out, from `line_at` on.
    line: Vec<u8>,
    line_at: usize,
    /// Lines of the reply under way.
    reply_lines: usize,
}

impl Wire {
    /// Takes a connected socket and turns Nagle's algorithm off: it costs 44 ms for each mail.
    pub(super) fn plain(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let peer = socket.peer_addr()?;
        Ok(Self::over(Socket::Plain(socket), peer))
    }

    fn over(socket: Socket, peer: SocketAddr) -> Self {
        Self { socket, peer, raw: Vec::new(), line: Vec::new(), line_at: 0, reply_lines: 0 }
    }

    /// Does the TLS handshake on a plain connection.
    pub(super) async fn encrypt(self, connector: &TlsConnector, name: ServerName<'static>) -> io::Result<Self> {
        // Invariant: nothing that came in the clear is read as if it had come through TLS (CVE-2011-0411 and its kin).
        if !self.raw.is_empty() || self.line_at < self.line.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server spoke before the TLS handshake"));
        }
        let Socket::Plain(socket) = self.socket else {
            return Err(io::Error::other("the connection is encrypted already"));
        };
        let socket = connector.connect(name, socket).await?;
        Ok(Self::over(Socket::Tls(Box::new(socket)), self.peer))
    }

    /// Gives the client above the greeting that it waits for, which came before STARTTLS.
    pub(super) fn with_greeting(mut self) -> Self {
        self.line = GREETING_BEFORE_TLS.as_bytes().to_vec();
        self
    }

    /// Sends one command line.
    pub(super) async fn say(&mut self, command: &str) -> io::Result<()> {
        self.write_all(command.as_bytes()).await?;
        self.flush().await
    }

    /// Reads one whole reply; for the few before STARTTLS.
    pub(super) async fn reply(&mut self) -> io::Result<Response> {
        let mut text = String::new();
        loop {
            let Some(line) = std::future::poll_fn(|cx| self.poll_line(cx)).await? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            text.push_str(&line);
            if !is_continued(&line) {
                break;
            }
        }
        text.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the reply is not SMTP"))
    }

    /// The next clean line with its CRLF; `None` when the server has closed the connection.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<String>>> {
        loop {
            if let Some(end) = self.raw.iter().position(|byte| *byte == b'\n') {
                let raw: Vec<u8> = self.raw.drain(..=end).collect();
                return Poll::Ready(self.checked(&raw).map(Some));
            }
            if self.raw.len() > LINE_BYTES_MAX {
                return Poll::Ready(Err(too_much("a reply line has no end")));
            }
            let mut space = [0; CHUNK_BYTES];
            let mut chunk = ReadBuf::new(&mut space);
            ready!(self.poll_socket(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(None));
            }
            self.raw.extend_from_slice(chunk.filled());
        }
    }

    fn checked(&mut self, raw: &[u8]) -> io::Result<String> {
        if raw.len() > LINE_BYTES_MAX {
            return Err(too_much("a reply line is too long"));
        }
        let line = clean(raw);
        self.reply_lines = if is_continued(&line) { self.reply_lines + 1 } else { 0 };
        if self.reply_lines > REPLY_LINES_MAX {
            return Err(too_much("a reply has too many lines"));
        }
        Ok(line)
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, chunk: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_read(cx, chunk),
            Socket::Tls(socket) => Pin::new(socket).poll_read(cx, chunk),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.line_at == self.line.len() {
            let Some(line) = ready!(self.poll_line(cx))? else {
                return Poll::Ready(Ok(()));
            };
            self.line = line.into_bytes();
            self.line_at = 0;
        }
        let wire = &mut *self;
        let rest = &wire.line[wire.line_at..];
        let length = rest.len().min(out.remaining());
        out.put_slice(&rest[..length]);
        wire.line_at += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Tls(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

/// Makes a line that the client can read: UTF-8, no control characters, no blanks at the end, a blank or hyphen after
/// the code, CRLF. It never gets longer than the line was, but for the blank and the CRLF.
fn clean(raw: &[u8]) -> String {
    let ascii = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '?' };
    let text: String = match std::str::from_utf8(raw) {
        Ok(text) => text.to_owned(),
        Err(_) => raw.iter().map(ascii).collect(),
    };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim_end();
    let blank = if text.len() == 3 { " " } else { "" };
    format!("{text}{blank}\r\n")
}

fn is_continued(line: &str) -> bool {
    line.as_bytes().get(3) == Some(&b'-')
}

fn too_much(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_line_is_cleaned_to_what_the_client_can_read() {
        for (raw, expected) in [
            (&b"250 ok\r\n"[..], "250 ok\r\n"),
            (b"250 ok\n", "250 ok\r\n"),
            (b"250\r\n", "250 \r\n"),
            (b"250 \r\n", "250 \r\n"),
            (b"250-\r\n", "250-\r\n"),
            (b"250-  \t \r\n", "250-\r\n"),
            (b"250-\xe3\x80\x80\r\n", "250-\r\n"),
            (b"550 Empf\xe4nger unbekannt\r\n", "550 Empf?nger unbekannt\r\n"),
            ("550 Empfänger unbekannt\r\n".as_bytes(), "550 Empfänger unbekannt\r\n"),
            (b"250 a\0b\x1b[0m\r\n", "250 a b [0m\r\n"),
            (b"\r\n", "\r\n"),
        ] {
            assert_eq!(clean(raw), expected);
        }
    }
}
