//! actix-web, which brings its own threads.

use std::{net::TcpListener, sync::mpsc, thread};

use actix_web::{App, HttpServer, dev::ServerHandle, rt::System, web::ServiceConfig};

/// A server with two workers. Stops when dropped.
pub struct ActixServer(ServerHandle);

impl ActixServer {
    /// Serves what `configure` mounts, on a listener.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start<F>(listener: TcpListener, configure: F) -> Self
    where
        F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            System::new().block_on(async move {
                let server = HttpServer::new(move || App::new().configure(configure.clone()))
                    .workers(2)
                    .disable_signals()
                    .listen(listener)
                    .expect("a listener")
                    .run();
                sender.send(server.handle()).expect("the test waits");
                server.await
            })
        });
        Self(receiver.recv().expect("it came up"))
    }
}

impl Drop for ActixServer {
    fn drop(&mut self) {
        // The command is sent at once; nobody waits until it is obeyed.
        drop(self.0.stop(false));
    }
}
