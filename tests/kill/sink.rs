//! A mail server on the loopback that takes everything and counts copies by Message-ID.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::mail;

/// A running mail server; it ends with the process.
pub struct Sink {
    port: u16,
    copies: Arc<Mutex<HashMap<String, u32>>>,
}

impl Sink {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let copies = Arc::<Mutex<HashMap<String, u32>>>::default();
        let counted = Arc::clone(&copies);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let copies = Arc::clone(&counted);
                // A client that dies ends its conversation: that is what this test is about.
                std::thread::spawn(move || drop(converse(stream, &copies)));
            }
        });
        Self { port, copies }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many copies of a mail arrived whole.
    pub fn copies(&self, mail: &str) -> u32 {
        self.copies.lock().expect("no conversation panics").get(mail).copied().unwrap_or_default()
    }
}

fn converse(stream: TcpStream, copies: &Mutex<HashMap<String, u32>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut lines, mut out) = (BufReader::new(stream.try_clone()?).lines(), stream);
    out.write_all(b"220 sink\r\n")?;
    while let Some(line) = lines.next() {
        match line?.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => out.write_all(b"250-sink\r\n250 8BITMIME\r\n")?,
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                let mut body = String::new();
                loop {
                    let Some(line) = lines.next() else { return Ok(()) };
                    match line? {
                        end if end == "." => break,
                        line => body = body + &line + "\n",
                    }
                }
                let id = mail::header(&body, "message-id").expect("every mail has an id");
                let id = id.trim_matches(['<', '>']).split('@').next().unwrap_or_default().to_owned();
                *copies.lock().expect("no conversation panics").entry(id).or_default() += 1;
                out.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => return out.write_all(b"221 bye\r\n"),
            _ => out.write_all(b"250 ok\r\n")?,
        }
    }
    Ok(())
}
