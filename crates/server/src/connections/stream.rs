use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering::SeqCst},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::places::{ConnectionPhase, Seat};

/// How long a client may take to begin its first request, and to send the head of any.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may make no progress.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to read an answer that does not fit into the socket's buffers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a reader of a stream may take no byte. It has lost nothing when it connects again.
const STREAM_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to read and drop what a client still sends after its answer. Closing at once would reset the connection, and
/// the client might lose the answer.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read and dropped at most; many times the largest body that an operator can allow.
const LINGER_BYTES_MAX: usize = 64 << 20;

/// A socket that ends its connection when a timeout or the server demands it.
///
/// It then reports the end of input to HTTP, as if the client had closed. Bytes that have arrived are read first, so a
/// request that has reached this machine is answered.
pub(super) struct Stream {
    socket: TcpStream,
    seat: Arc<Seat>,
    idle_timeout: Duration,
    reading: Timer,
    stalled: Timer,
    answering: Timer,
    /// Whether a part of an answer may not be with the kernel yet.
    has_unsent: bool,
    is_shut: bool,
    lingered_bytes: usize,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, seat: Arc<Seat>, idle_timeout: Duration) -> Self {
        Self {
            socket,
            seat,
            idle_timeout,
            reading: Timer::default(),
            stalled: Timer::default(),
            answering: Timer::default(),
            has_unsent: false,
            is_shut: false,
            lingered_bytes: 0,
        }
    }

    /// Decides, while there is nothing to read, whether to wait on.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.seat.phase();
        match phase {
            ConnectionPhase::Idle => self.reading.start(self.idle_timeout),
            ConnectionPhase::Silent | ConnectionPhase::Head => self.reading.start(HEAD_TIMEOUT),
            // Reading a body has its own timeout (json.rs).
            ConnectionPhase::Busy | ConnectionPhase::Answering => return Poll::Pending,
        }
        if !self.reading.is_over(context) && !self.seat.must_end(context) {
            Poll::Pending
        } else if phase == ConnectionPhase::Head {
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.has_unsent = true;
        if written.is_ready() {
            self.stalled.stop();
            return written;
        }
        if self.seat.is_stream.load(SeqCst) {
            self.stalled.start(STREAM_STALL_TIMEOUT);
        } else {
            self.stalled.start(STALL_TIMEOUT);
            self.answering.start(ANSWER_TIMEOUT);
        }
        if self.stalled.is_over(context) || self.answering.is_over(context) {
            // Drops what the kernel still holds for this client.
            let _ = self.socket.set_zero_linger();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// Reads and drops what the client still sends.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.reading.start(LINGER_TIMEOUT);
        let mut dropped = [0; 8 * 1024];
        while self.lingered_bytes < LINGER_BYTES_MAX && !self.reading.is_over(context) {
            let mut buffer = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.lingered_bytes += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &mut *self;
        if stream.seat.phase() == ConnectionPhase::Answering && !stream.has_unsent {
            stream.seat.enter(ConnectionPhase::Idle);
            stream.reading.stop();
        }
        let before = buffer.filled().len();
        match Pin::new(&mut stream.socket).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                let is_end = buffer.filled().len() == before;
                if !is_end && stream.seat.phase() < ConnectionPhase::Head {
                    stream.seat.enter(ConnectionPhase::Head);
                    stream.reading.stop();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => stream.wait(context),
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.written(context, written)
    }

    /// Without it, hyper copies each answer into its own buffer.
    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper calls it once an answer is written completely.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.has_unsent = false;
        self.answering.stop();
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut *self;
        if !stream.is_shut {
            ready!(Pin::new(&mut stream.socket).poll_shutdown(context))?;
            stream.is_shut = true;
            stream.reading.stop();
        }
        // In `Head`, hyper refused a head that it has not read to its end.
        if stream.seat.leaves_unread.load(SeqCst) || stream.seat.phase() == ConnectionPhase::Head {
            ready!(stream.linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

/// Runs from its first start until it is stopped.
#[derive(Default)]
struct Timer(Pin<Box<Option<Sleep>>>);

impl Timer {
    fn start(&mut self, duration: Duration) {
        if self.0.is_none() {
            self.0.set(Some(sleep(duration)));
        }
    }

    fn stop(&mut self) {
        self.0.set(None);
    }

    /// Whether it has run out. If not, the task is woken when it does.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let timer = self.0.as_mut().as_pin_mut();
        timer.is_some_and(|timer| timer.poll(context).is_ready())
    }
}
