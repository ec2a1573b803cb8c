use std::{cell::RefCell, io, marker::PhantomData, sync::Once};

use tracing::Level;

thread_local! {
    static CAPTURED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Everything that is logged on this thread, at every level, while this lives: all that a node logs, for a test and its
/// node share one thread, except for what its store's own threads say.
pub struct Log {
    _of_this_thread: PhantomData<*const ()>,
}

impl Log {
    /// Sets logging up for the whole process, before anything is logged: tracing caches per call site whether a subscriber is
    /// interested, and a later or thread-local one may be missed.
    pub fn prepare() {
        static PREPARED: Once = Once::new();
        PREPARED.call_once(|| {
            tracing_subscriber::fmt()
                .with_max_level(Level::TRACE)
                .with_ansi(false)
                .with_writer(|| OfThisThread)
                .init();
        });
    }

    pub fn capture() -> Self {
        Self::prepare();
        CAPTURED.set(Some(Vec::new()));
        Self {
            _of_this_thread: PhantomData,
        }
    }

    pub fn text(&self) -> String {
        let captured = CAPTURED.with_borrow(Clone::clone);
        String::from_utf8(captured.unwrap_or_default()).unwrap()
    }

    /// The lines that contain `text`.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        let all = self.text();
        let with = all.lines().filter(|line| line.contains(text));
        with.map(str::to_owned).collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        CAPTURED.set(None);
    }
}

struct OfThisThread;

impl io::Write for OfThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        CAPTURED.with_borrow_mut(|captured| {
            if let Some(captured) = captured {
                captured.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
