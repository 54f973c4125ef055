//! recvmmsg(2), and sendmmsg(2) with generic segmentation offload (UDP_SEGMENT, udp(7)): datagrams of one length to one
//! address, as a picture makes them, go through the system as one.
//!
//! Only as many structures are initialised as datagrams are wanted: most calls want few, and clearing kilobytes would
//! cost as much as the call saves.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{
    AF_INET, AF_INET6, MSG_DONTWAIT, cmsghdr, iovec, mmsghdr, msghdr, sockaddr_in, sockaddr_in6, socklen_t,
};
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

/// Datagrams one message may be cut into, and bytes it may have: both below what every kernel with UDP_SEGMENT takes.
const MAX_SEGMENTS: usize = 40;
const MAX_SEGMENTED: usize = 60_000;

/// The system has refused segmentation once; then each datagram is a message of its own.
static NO_SEGMENTATION: AtomicBool = AtomicBool::new(false);

/// Room for one control message with a u16, aligned as the system wants it.
#[derive(Clone, Copy)]
#[repr(C)]
union Control {
    head: cmsghdr,
    bytes: [u8; 32],
}

/// Sends slots; returns how many were refused.
pub(super) fn send(socket: &impl Socket, slots: &[[u8; SLOT]], filled: &[(usize, SocketAddr)]) -> usize {
    if !NO_SEGMENTATION.load(Ordering::Relaxed) {
        match send_runs(socket, slots, filled, true) {
            Ok(refused) => return refused,
            Err(NotSegmented { refused, done }) => {
                NO_SEGMENTATION.store(true, Ordering::Relaxed);
                let rest = (&slots[done..], &filled[done..]);
                return refused + send_runs(socket, rest.0, rest.1, false).unwrap_or(rest.1.len());
            }
        }
    }
    send_runs(socket, slots, filled, false).unwrap_or(filled.len())
}

/// Segmentation is not to be had here: so many datagrams were dealt with, of which so many were refused.
struct NotSegmented {
    refused: usize,
    done: usize,
}

/// How many datagrams from `start` on can go as one: the same address, the same length but for a shorter last one.
fn run(filled: &[(usize, SocketAddr)], segmented: bool) -> usize {
    let Some((segment, to)) = filled.first() else { return 0 };
    if !segmented || *segment == 0 {
        return 1;
    }
    let most = (MAX_SEGMENTED / segment).clamp(1, MAX_SEGMENTS);
    let equal = filled.iter().take(most).take_while(|(len, address)| len == segment && address == to).count();
    let shorter = filled.get(equal).is_some_and(|(len, address)| *len > 0 && len < segment && address == to);
    if shorter && equal < most { equal + 1 } else { equal }
}

fn send_runs(
    socket: &impl Socket,
    slots: &[[u8; SLOT]],
    filled: &[(usize, SocketAddr)],
    segmented: bool,
) -> Result<usize, NotSegmented> {
    let count = filled.len().min(MAX_BATCH);
    let filled = &filled[..count];
    let mut headers: Headers = [const { MaybeUninit::uninit() }; MAX_BATCH];
    let mut parts = [const { MaybeUninit::<iovec>::uninit() }; MAX_BATCH];
    let mut addresses = [const { MaybeUninit::<SockAddr>::uninit() }; MAX_BATCH];
    let mut controls = [Control { bytes: [0; 32] }; MAX_BATCH];
    // Where each message begins, in datagrams.
    let mut starts = [0_usize; MAX_BATCH + 1];
    for ((slot, (len, _)), part) in slots.iter().zip(filled).zip(&mut parts) {
        // The kernel only reads from a part that is sent.
        part.write(iovec { iov_base: slot.as_ptr().cast_mut().cast(), iov_len: *len });
    }
    let (mut messages, mut at) = (0, 0);
    while at < count {
        let together = run(&filled[at..], segmented);
        let (segment, to) = filled[at];
        let address = addresses[messages].write(SockAddr::from(to));
        let mut message = header(address.as_ptr().cast_mut().cast(), address.len(), parts[at].as_mut_ptr());
        message.msg_hdr.msg_iovlen = together as _;
        if together > 1 {
            write_segment(&mut controls[messages], &mut message.msg_hdr, segment as u16);
        }
        headers[messages].write(message);
        starts[messages] = at;
        messages += 1;
        at += together;
    }
    starts[messages] = count;
    let (mut done, mut refused) = (0, 0);
    while done < messages {
        let rest = &mut headers[done..messages];
        // SAFETY: these headers are initialised and point to live slots, parts, controls and addresses with their true
        // lengths, which outlive the call.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len() as _, MSG_DONTWAIT as _)
        };
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => done += sent,
            // The first of the rest was refused; the others may still go.
            Ok(_) | Err(_) => {
                let size = starts[done + 1] - starts[done];
                if size > 1 {
                    let error = io::Error::last_os_error().raw_os_error();
                    if matches!(error, Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP | libc::EMSGSIZE)) {
                        return Err(NotSegmented { refused, done: starts[done] });
                    }
                }
                refused += size;
                done += 1;
            }
        }
    }
    Ok(refused)
}

/// Asks for a message to be cut into datagrams of `segment` bytes.
fn write_segment(control: &mut Control, message: &mut msghdr, segment: u16) {
    message.msg_control = ptr::from_mut(control).cast();
    // SAFETY: these only compute sizes.
    let (space, len) = unsafe { (libc::CMSG_SPACE(2), libc::CMSG_LEN(2)) };
    message.msg_controllen = space as _;
    // SAFETY: the control buffer is live, zeroed, aligned for a cmsghdr and longer than CMSG_SPACE(2) (24 bytes on 64-bit
    // systems), so head and data lie inside it; the data is written byte by byte, without alignment.
    unsafe {
        let head = libc::CMSG_FIRSTHDR(message);
        if head.is_null() {
            return;
        }
        (*head).cmsg_level = libc::SOL_UDP;
        (*head).cmsg_type = libc::UDP_SEGMENT;
        (*head).cmsg_len = len as _;
        ptr::copy_nonoverlapping(segment.to_ne_bytes().as_ptr(), libc::CMSG_DATA(head), 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_of_one_address_and_length_with_a_shorter_end() {
        let (a, b): (SocketAddr, SocketAddr) =
            ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        assert_eq!(run(&[(100, a), (100, a), (40, a), (40, a)], true), 3);
        assert_eq!(run(&[(100, a), (100, b)], true), 1);
        assert_eq!(run(&[(40, a), (100, a)], true), 1);
        assert_eq!(run(&[(100, a), (0, a)], true), 1);
        assert_eq!(run(&[(100, a), (100, a)], false), 1);
        assert_eq!(run(&[(0, a), (0, a)], true), 1);
        assert_eq!(run(&[], true), 0);
        assert_eq!(run(&[(1200, a); 64], true), MAX_SEGMENTS);
        assert_eq!(run(&[(2000, a); 64], true), MAX_SEGMENTED / 2000);
    }
}
