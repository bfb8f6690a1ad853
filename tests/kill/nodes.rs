//! The nodes: each in a folder of its own, each killed by its own process id and started again.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tempfile::TempDir;

use super::load::Load;
use crate::support::Vinculum;

type Start<'a> = Box<dyn Fn(usize, &Path) -> Vinculum + Sync + 'a>;

/// Running services of one installation.
pub struct Nodes<'a> {
    start: Start<'a>,
    life: Duration,
    homes: Vec<TempDir>,
    /// None while a node is down.
    running: Vec<Mutex<Option<Vinculum>>>,
    addresses: Vec<String>,
    turn: AtomicUsize,
}

impl<'a> Nodes<'a> {
    /// Starts `count` nodes, one of which is killed each `life`. `start` gets a node's number and folder, and gives it the same address each time.
    pub fn start(count: usize, life: Duration, start: impl Fn(usize, &Path) -> Vinculum + Sync + 'a) -> Self {
        let homes: Vec<_> = (0..count).map(|_| tempfile::tempdir().expect("there is room for folders")).collect();
        let services: Vec<_> = homes.iter().enumerate().map(|(number, home)| start(number, home.path())).collect();
        let addresses = services.iter().map(|service| service.url("")).collect();
        let running = services.into_iter().map(|service| Mutex::new(Some(service))).collect();
        Self { start: Box::new(start), life, homes, running, addresses, turn: AtomicUsize::new(0) }
    }

    /// The address of one node or the other, whether it runs or not.
    pub fn any(&self) -> &str {
        &self.addresses[self.turn.fetch_add(1, Ordering::Relaxed) % self.addresses.len()]
    }

    /// Kills one node after the other as a power cut would, and starts it again, until the load is over. Returns how often.
    pub fn kill_until(&self, load: &Load) -> u32 {
        let mut kills = 0;
        while !load.is_over() {
            std::thread::sleep(self.life);
            let number = kills as usize % self.running.len();
            let mut node = self.node(number);
            node.take().expect("a node runs between its kills").kill();
            *node = Some((self.start)(number, self.homes[number].path()));
            kills += 1;
            load.saw_a_kill();
        }
        kills
    }

    /// Asks every node to stop.
    pub fn stop(&self) {
        for number in 0..self.running.len() {
            let node = self.node(number).take().expect("a node runs until it is stopped");
            assert!(node.stop().success(), "a node ends cleanly");
        }
    }

    fn node(&self, number: usize) -> MutexGuard<'_, Option<Vinculum>> {
        self.running[number].lock().expect("nobody panics while holding a node")
    }
}
