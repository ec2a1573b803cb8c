use std::{sync::Arc, thread, time::Duration};

use anyhow::{Context, ensure};
use domain::{Clock, SystemClock, Timestamp};
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
    sync::{oneshot, watch},
    task::JoinSet,
};

use super::connection::{Authority, get_request};

const BUFFER_BYTES: usize = 256 << 10;
/// In front of an event's time.
const AT: &[u8] = b"\"at\":\"";
const DELAY_MAX_MICROS: u64 = 60_000_000;

/// Readers of the stream of events, on a thread of their own. All read everything; some measure.
pub(crate) struct Streams {
    stop: watch::Sender<bool>,
    result: oneshot::Receiver<anyhow::Result<Seen>>,
}

/// What the measuring readers saw.
pub(crate) struct Seen {
    /// From the time of each event, which is before its commit, in microseconds.
    delays: Histogram<u64>,
    /// Events of the reader that saw fewest.
    pub(crate) events_min: u64,
}

impl Seen {
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.delays.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

impl Streams {
    /// Opens so many streams, and returns once all have begun.
    pub(crate) async fn open(authority: &Authority, count: usize, measuring: usize) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (begin, begun) = oneshot::channel();
        let (end, result) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let authority = authority.clone();
        thread::spawn(move || {
            runtime.block_on(async {
                let opened = open_all(&authority, count).await;
                match opened {
                    Ok(streams) => {
                        let _ = begin.send(Ok(()));
                        let _ = end.send(read_all(streams, measuring, stopped).await);
                    }
                    Err(error) => drop(begin.send(Err(error))),
                }
            });
        });
        begun.await.context("the thread of the readers ended")??;
        Ok(Self { stop, result })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<Seen> {
        self.stop.send_replace(true);
        self.result.await.context("the thread of the readers ended")?
    }
}

async fn open_all(authority: &Authority, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(authority.as_str()).await?;
        let request = get_request(authority, "/api/events/stream");
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        ensure!(
            head.ends_with(b"200"),
            "a stream is refused: {}",
            String::from_utf8_lossy(&head)
        );
        streams.push(stream);
    }
    Ok(streams)
}

async fn read_all(
    streams: Vec<TcpStream>,
    measuring: usize,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<Seen> {
    let clock = Arc::new(SystemClock::new());
    let mut readers = JoinSet::new();
    for (number, mut stream) in streams.into_iter().enumerate() {
        let (clock, mut stopped) = (Arc::clone(&clock), stopped.clone());
        readers.spawn(async move {
            let mut delays = Histogram::<u64>::new_with_max(DELAY_MAX_MICROS, 3)?;
            let (mut buffer, mut filled) = (vec![0; BUFFER_BYTES], 0);
            loop {
                let read = tokio::select! {
                    read = stream.read(&mut buffer[filled..]) => read?,
                    _ = stopped.wait_for(|stopped| *stopped) => return Ok((number < measuring).then_some(delays)),
                };
                ensure!(read > 0, "a stream ended");
                if number < measuring {
                    filled = measure(&mut buffer, filled + read, clock.now(), &mut delays);
                }
            }
        });
    }
    let mut seen = Seen {
        delays: Histogram::new_with_max(DELAY_MAX_MICROS, 3)?,
        events_min: u64::MAX,
    };
    while let Some(reader) = readers.join_next().await {
        if let Some(delays) = reader?? {
            seen.events_min = seen.events_min.min(delays.len());
            seen.delays.add(delays)?;
        }
    }
    Ok(seen)
}

/// Notes the delay of each event in the buffer, keeps an unfinished line, and returns how much that is.
fn measure(buffer: &mut [u8], filled: usize, now: Timestamp, delays: &mut Histogram<u64>) -> usize {
    let whole = buffer[..filled]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let mut rest = &buffer[..whole];
    while let Some(begin) = rest.windows(AT.len()).position(|window| window == AT) {
        rest = &rest[begin + AT.len()..];
        let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
        let at = std::str::from_utf8(&rest[..end]).ok().and_then(Timestamp::parse);
        if let Some(at) = at {
            let delay: Duration = now.saturating_since(at);
            delays.saturating_record(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
        }
        rest = &rest[end..];
    }
    buffer.copy_within(whole..filled, 0);
    filled - whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_measured_once_wherever_the_bytes_are_cut() {
        let event = b"id: 1\nevent: message.accepted\ndata: {\"id\":\"1\",\"at\":\"2026-11-28T10:00:00.000000Z\",\"data\":{}}\n\n";
        let now = Timestamp::parse("2026-11-28T10:00:00.025Z").unwrap();
        for cut in 0..event.len() {
            let mut delays = Histogram::new_with_max(DELAY_MAX_MICROS, 3).unwrap();
            let (mut buffer, mut filled) = (vec![0; 1_000], 0);
            for part in [&event[..cut], &event[cut..]] {
                buffer[filled..filled + part.len()].copy_from_slice(part);
                filled = measure(&mut buffer, filled + part.len(), now, &mut delays);
            }
            assert_eq!((delays.len(), filled), (1, 0), "{cut}");
            assert!((24_900..25_100).contains(&delays.max()));
        }
    }
}
