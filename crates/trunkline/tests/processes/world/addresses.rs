use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
};

/// A port below those that the kernel gives to clients.
const PORT: u16 = 8_080;

/// Addresses of this machine that no other test uses, for programs that must find a place again after a restart: a port of
/// 127.0.0.1 may be given to a client meanwhile. On systems that have no 127.0.0.2 there are none.
pub(crate) fn own_addresses<const N: usize>() -> [SocketAddr; N] {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    [(); N].map(|()| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        SocketAddr::from((Ipv4Addr::new(127, high.max(1), low, number), PORT))
    })
}
