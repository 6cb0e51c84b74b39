//! A TCP proxy that fails on request.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// What the proxy does to what passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Holds every answer back for so long.
    Delay(Duration),
    /// Holds everything in both directions, as a partition does; connections stay open.
    Blackhole,
    /// Holds requests; answers to earlier ones pass.
    HoldRequests,
    /// Passes requests on and holds the answers, so that what was asked happens and nobody hears of it.
    HoldAnswers,
    /// Passes requests on, and closes the connection instead of passing the answer back.
    LoseAnswers,
    /// Passes so many bytes of answers on, a connection, then closes it.
    CutAfter(usize),
    /// Holds the connections on which a request with these words is made, and no others, as when one of several is
    /// stalled.
    Hold(&'static str),
    /// Closes every connection at once, old and new.
    Reset,
    /// Passes requests on and throws the answers away; connections stay open.
    DropAnswers,
}

/// A proxy on a free loopback port. Ends with its handle.
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    /// How often all connections were forgotten.
    forgotten: watch::Sender<u64>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Proxy {
    /// Starts a proxy to a loopback port.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (fault, seen) = watch::channel(Fault::None);
        let (forgotten, forgets) = watch::channel(0);
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::clone(&tasks);
        let accept = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else {
                    continue;
                };
                let _ = client.set_nodelay(true);
                let _ = server.set_nodelay(true);
                let mut forgets = forgets.clone();
                let (now, seen) = (*forgets.borrow_and_update(), seen.clone());
                let task = tokio::spawn(async move {
                    // In place while it is awaited, so that what is forgotten stays open.
                    let mut pump = Box::pin(pump(client, server, seen));
                    let forgotten = async {
                        let _ = forgets.wait_for(|forgotten| *forgotten != now).await;
                    };
                    tokio::select! {
                        biased;
                        () = forgotten => std::future::pending::<()>().await,
                        () = &mut pump => {}
                    }
                });
                connections.lock().expect("no panic").push(task);
            }
        });
        tasks.lock().expect("no panic").push(accept);
        Self {
            address,
            fault,
            forgotten,
            tasks,
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets the connections that are open, as a firewall does: they stay open, and nothing passes on them any
    /// more. New ones work.
    pub fn forget(&self) {
        self.forgotten.send_modify(|forgotten| *forgotten += 1);
    }

    /// Changes what it does, for open connections too.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for task in self.tasks.lock().expect("no panic").drain(..) {
            task.abort();
        }
    }
}

async fn pump(mut client: TcpStream, mut server: TcpStream, mut fault: watch::Receiver<Fault>) {
    let (mut asked, mut told) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut passed = 0;
    let mut held: Option<usize> = None;
    loop {
        let now = *fault.borrow_and_update();
        if !matches!(now, Fault::Hold(_))
            && let Some(count) = held.take()
            && server.write_all(&asked[..count]).await.is_err()
        {
            return;
        }
        let stalls = now == Fault::Blackhole || held.is_some();
        let holds_requests = stalls || now == Fault::HoldRequests;
        let holds_answers = stalls || now == Fault::HoldAnswers;
        if now == Fault::Reset {
            let _ = client.set_zero_linger();
            return;
        }
        tokio::select! {
            changed = fault.changed() => if changed.is_err() {
                return;
            },
            read = client.read(&mut asked), if !holds_requests => match read {
                Ok(0) | Err(_) => return,
                Ok(count) if matches!(now, Fault::Hold(words) if has(&asked[..count], words)) => {
                    held = Some(count);
                }
                Ok(count) => if server.write_all(&asked[..count]).await.is_err() {
                    return;
                },
            },
            read = server.read(&mut told), if !holds_answers => {
                let count = match read {
                    Ok(0) | Err(_) => return,
                    Ok(count) => count,
                };
                let pass = match now {
                    Fault::None
                    | Fault::Reset
                    | Fault::Blackhole
                    | Fault::Hold(_)
                    | Fault::HoldRequests
                    | Fault::HoldAnswers => count,
                    Fault::Delay(delay) => {
                        sleep(delay).await;
                        count
                    }
                    Fault::LoseAnswers => return,
                    Fault::DropAnswers => continue,
                    Fault::CutAfter(most) => count.min(most.saturating_sub(passed)),
                };
                passed += pass;
                if client.write_all(&told[..pass]).await.is_err() || pass < count {
                    return;
                }
            }
        }
    }
}

fn has(request: &[u8], words: &str) -> bool {
    request
        .windows(words.len())
        .any(|part| part == words.as_bytes())
}
