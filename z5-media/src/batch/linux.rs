//! recvmmsg(2) and sendmmsg(2).
//!
//! Only as many structures are initialised as datagrams are wanted: most calls want few, and clearing kilobytes would
//! cost as much as the call saves.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::ptr;

use libc::{AF_INET, AF_INET6, MSG_DONTWAIT, iovec, mmsghdr, msghdr, sockaddr_in, sockaddr_in6, socklen_t};
use socket2::SockAddr;

use super::{MAX_BATCH, NOWHERE, SLOT};

/// A UDP socket the system knows by its descriptor.
pub trait Socket: AsRawFd {}

impl<T: AsRawFd> Socket for T {}

type Headers = [MaybeUninit<mmsghdr>; MAX_BATCH];

fn header(name: *mut libc::c_void, name_len: socklen_t, part: *mut iovec) -> mmsghdr {
    // SAFETY: a plain C structure for which all bits zero is a valid value; it may have padding fields on some systems.
    let mut inner: msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    inner.msg_name = name;
    inner.msg_namelen = name_len;
    inner.msg_iov = part;
    inner.msg_iovlen = 1;
    mmsghdr { msg_hdr: inner, msg_len: 0 }
}

/// Fills slots; fewer than given means that nothing more waits.
pub(super) fn receive(
    socket: &impl Socket,
    slots: &mut [[u8; SLOT]],
    filled: &mut Vec<(usize, SocketAddr)>,
) -> io::Result<()> {
    let count = slots.len().min(MAX_BATCH);
    let mut headers: Headers = [const { MaybeUninit::uninit() }; MAX_BATCH];
    // Long enough for both families.
    let mut addresses = [const { MaybeUninit::<sockaddr_in6>::uninit() }; MAX_BATCH];
    let mut parts = [const { MaybeUninit::<iovec>::uninit() }; MAX_BATCH];
    for (n, slot) in slots.iter_mut().take(count).enumerate() {
        parts[n].write(iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: SLOT });
        let len = size_of::<sockaddr_in6>() as socklen_t;
        headers[n].write(header(addresses[n].as_mut_ptr().cast(), len, parts[n].as_mut_ptr()));
    }
    // SAFETY: the first `count` headers are initialised and point to live, distinct slots and addresses with their true
    // lengths, all of which outlive the call; the kernel writes within those lengths only.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as _,
            MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (header, address) in headers.iter().zip(&addresses).take(received) {
        // SAFETY: this header was initialised above, and the kernel has filled in its lengths.
        let header = unsafe { header.assume_init_ref() };
        let from = sender(address.as_ptr(), header.msg_hdr.msg_namelen as usize);
        filled.push(((header.msg_len as usize).min(SLOT), from));
    }
    Ok(())
}

/// The address the kernel wrote.
fn sender(address: *const sockaddr_in6, len: usize) -> SocketAddr {
    if len < size_of::<sockaddr_in>() {
        return NOWHERE;
    }
    // SAFETY: at least a sockaddr_in was written there, which is as aligned as a sockaddr_in6.
    let v4: sockaddr_in = unsafe { ptr::read(address.cast()) };
    match i32::from(v4.sin_family) {
        AF_INET => {
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            SocketAddr::from((ip, u16::from_be(v4.sin_port)))
        }
        AF_INET6 if len >= size_of::<sockaddr_in6>() => {
            // SAFETY: a whole sockaddr_in6 was written there.
            let v6 = unsafe { ptr::read(address) };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into()
        }
        _ => NOWHERE,
    }
}

/// Sends slots; returns how many were refused.
pub(super) fn send(socket: &impl Socket, slots: &[[u8; SLOT]], filled: &[(usize, SocketAddr)]) -> usize {
    let count = filled.len().min(MAX_BATCH);
    let mut headers: Headers = [const { MaybeUninit::uninit() }; MAX_BATCH];
    let mut parts = [const { MaybeUninit::<iovec>::uninit() }; MAX_BATCH];
    let mut addresses = [const { MaybeUninit::<SockAddr>::uninit() }; MAX_BATCH];
    for (n, (slot, (len, to))) in slots.iter().zip(filled).take(count).enumerate() {
        // The kernel only reads from a part that is sent.
        parts[n].write(iovec { iov_base: slot.as_ptr().cast_mut().cast(), iov_len: *len });
        let address = addresses[n].write(SockAddr::from(*to));
        headers[n].write(header(address.as_ptr().cast_mut().cast(), address.len(), parts[n].as_mut_ptr()));
    }
    let (mut done, mut refused) = (0, 0);
    while done < count {
        let rest = &mut headers[done..count];
        // SAFETY: these headers are initialised and point to live slots, parts and addresses with their true lengths,
        // which outlive the call.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len() as _, MSG_DONTWAIT as _)
        };
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => done += sent,
            // The first of the rest was refused; the others may still go.
            Ok(_) | Err(_) => {
                done += 1;
                refused += 1;
            }
        }
    }
    refused
}
