use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const PASS: u8 = 0;
const LOSE_REQUEST: u8 = 1;
const LOSE_ANSWER: u8 = 2;

/// Stands between a store and its server, and cuts a connection at the worst moment when told to.
pub(crate) struct LossyProxy {
    port: u16,
    next_request: Arc<AtomicU8>,
}

impl LossyProxy {
    pub(crate) async fn before(server_port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let next_request = Arc::new(AtomicU8::new(PASS));
        let fate = Arc::clone(&next_request);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
                let fate = Arc::clone(&fate);
                // An error is the end of a connection, which is this proxy's trade.
                tokio::spawn(async move { drop(pass(client, server, &fate).await) });
            }
        });
        Self { port, next_request }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The next request does not reach the server.
    pub(crate) fn lose_next_request(&self) {
        self.next_request.store(LOSE_REQUEST, Ordering::SeqCst);
    }

    /// The next request is carried out, and its answer lost.
    pub(crate) fn lose_next_answer(&self) {
        self.next_request.store(LOSE_ANSWER, Ordering::SeqCst);
    }
}

/// Passes on what the two say until one of them hangs up, or something is to be lost.
async fn pass(mut client: TcpStream, mut server: TcpStream, next_request: &AtomicU8) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut losing_answer = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let request = &asked[..read?];
                if request.is_empty() {
                    return Ok(());
                }
                match next_request.swap(PASS, Ordering::SeqCst) {
                    LOSE_REQUEST => return Ok(()),
                    LOSE_ANSWER => losing_answer = true,
                    _ => {}
                }
                server.write_all(request).await?;
            }
            read = server.read(&mut answered) => {
                let answer = &answered[..read?];
                if answer.is_empty() || losing_answer {
                    return Ok(());
                }
                client.write_all(answer).await?;
            }
        }
    }
}
