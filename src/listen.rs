//! Accepting connections, within limits that a slow or hostile client cannot stretch (T70).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The wait after the system refuses a connection, for lack of descriptors for example.
const ACCEPT_RETRY_AFTER: Duration = Duration::from_millis(50);

/// What one listener takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the system's queue.
    pub connections_max: usize,
    /// The longest time from a connection's first byte, or the answer before, to the end of the next headers.
    pub headers_within: Duration,
    /// Bytes of headers and of read-ahead for one connection.
    pub buffer_bytes_max: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams_max: u32,
}

impl Limits {
    /// What the service uses.
    pub const DEFAULT: Self = Self {
        connections_max: 4_096,
        headers_within: Duration::from_secs(10),
        buffer_bytes_max: 64 * 1024,
        streams_max: 64,
    };
}

/// Serves until `stop` is done; then takes no more connections and waits for the requests under way.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_within)
        .max_buf_size(limits.buffer_bytes_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.headers_within)
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(limits.buffer_bytes_max as u32);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            (place, Ok((stream, _))) = accepted => (place, stream),
            () = &mut stop => break,
            else => {
                tokio::time::sleep(ACCEPT_RETRY_AFTER).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true); // an optimisation; without it answers are only slower
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    async fn ask(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn t70_slow_clients_are_cut_off_and_the_others_are_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "hello" }));
        let limits = Limits { headers_within: Duration::from_millis(500), ..Limits::DEFAULT };
        tokio::spawn(serve(listener, router, limits, std::future::pending()));
        let mut slow = Vec::new();
        for _ in 0..300 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nx-slow: ").await.unwrap();
            slow.push(stream);
        }
        assert!(ask(address, "/").await.ends_with("hello"));
        for stream in &mut slow {
            let mut rest = Vec::new();
            let cut = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
            assert!(cut.is_ok(), "the connection is still open");
        }
    }

    #[tokio::test]
    async fn t70_a_header_bomb_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "hello" }));
        tokio::spawn(serve(listener, router, Limits::DEFAULT, std::future::pending()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let bomb = format!("GET / HTTP/1.1\r\nhost: x\r\nx-bomb: {}\r\n\r\n", "a".repeat(200_000));
        let _ = stream.write_all(bomb.as_bytes()).await; // the server may close before it has read all
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("hello"));
        assert!(ask(address, "/").await.ends_with("hello"));
    }

    #[tokio::test]
    async fn a_request_under_way_is_finished_before_it_stops() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, has_arrived) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let parts = Arc::new(tokio::sync::Mutex::new(Some((arrived, may_go_on))));
        let router = Router::new().route(
            "/",
            get(move || async move {
                let (arrived, may_go_on) = parts.lock().await.take().unwrap();
                arrived.send(()).unwrap();
                may_go_on.await.unwrap();
                "done"
            }),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, router, Limits::DEFAULT, async { drop(stopped.await) }));
        let client = tokio::spawn(async move { ask(address, "/").await });
        has_arrived.await.unwrap();
        stop.send(()).unwrap();
        go_on.send(()).unwrap();
        assert!(client.await.unwrap().ends_with("done"));
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
