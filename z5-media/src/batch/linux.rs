//! recvmmsg(2), and sendmmsg(2) with generic segmentation offload (UDP_SEGMENT, udp(7)): datagrams of one length to one
//! address, as a picture makes them, go through the system as one. And epoll(7) by levels, which mio has not.
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

use super::{MAX_BATCH, Piece, SLOT};

/// Address of a slot whose sender the system did not name.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

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

/// Asks for datagrams of one length from one address to be handed over as one (UDP_GRO).
pub(super) fn coalesce(socket: &impl Socket) -> bool {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is live for the call and of the given length; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as socklen_t,
        )
    };
    result == 0
}

/// Lets epoll(7) tell of `socket`, which is registered there, as long as something waits and not only when something comes.
pub(crate) fn tell_while_readable(
    epoll: &impl AsRawFd,
    socket: &impl AsRawFd,
    token: usize,
) -> io::Result<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token as u64 };
    let (epoll, socket) = (epoll.as_raw_fd(), socket.as_raw_fd());
    // SAFETY: the event is live for the call, and the kernel only reads it.
    let result = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_MOD, socket, &raw mut event) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Fills slots of `slot` bytes and says how many messages there were; fewer than `count` means that nothing more waits.
pub(super) fn receive(
    socket: &impl Socket,
    arena: &mut [u8],
    slot: usize,
    count: usize,
    filled: &mut Vec<Piece>,
) -> io::Result<usize> {
    let count = count.min(MAX_BATCH);
    let mut headers: Headers = [const { MaybeUninit::uninit() }; MAX_BATCH];
    // Long enough for both families.
    let mut addresses = [const { MaybeUninit::<sockaddr_in6>::uninit() }; MAX_BATCH];
    let mut parts = [const { MaybeUninit::<iovec>::uninit() }; MAX_BATCH];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; MAX_BATCH];
    // Only wide slots are for sockets that coalesce.
    let wide = slot > SLOT;
    let mut slots = 0;
    for (n, room) in arena.chunks_exact_mut(slot).take(count).enumerate() {
        parts[n].write(iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() });
        let len = size_of::<sockaddr_in6>() as socklen_t;
        let mut message = header(addresses[n].as_mut_ptr().cast(), len, parts[n].as_mut_ptr());
        if wide {
            message.msg_hdr.msg_control = controls[n].as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = size_of::<Control>() as _;
        }
        headers[n].write(message);
        slots = n + 1;
    }
    // SAFETY: the first `slots` headers are initialised and point to live, distinct slots, addresses and controls with their
    // true lengths, all of which outlive the call; the kernel writes within those lengths only.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            slots as _,
            MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (n, (header, address)) in headers.iter().zip(&addresses).take(received).enumerate() {
        // SAFETY: this header was initialised above, and the kernel has filled in its lengths.
        let header = unsafe { header.assume_init_ref() };
        let address = sender(address.as_ptr(), header.msg_hdr.msg_namelen as usize);
        let len = (header.msg_len as usize).min(slot);
        let segment = if wide { segment(&header.msg_hdr) } else { None };
        let (mut start, end) = (n * slot, n * slot + len);
        loop {
            let len = segment.map_or(end - start, |segment| segment.min(end - start));
            filled.push(Piece { start, len, address });
            start += len;
            if start >= end {
                break;
            }
        }
    }
    Ok(received)
}

/// The length of the datagrams a message was put together of, where the kernel says so.
fn segment(message: &msghdr) -> Option<usize> {
    // SAFETY: the kernel has filled in control and its length; CMSG_FIRSTHDR gives null or a whole header within.
    let head = unsafe { libc::CMSG_FIRSTHDR(message).as_ref()? };
    if (head.cmsg_level, head.cmsg_type) != (libc::SOL_UDP, libc::UDP_GRO) {
        return None;
    }
    // SAFETY: this kind of control message carries an int, which needs no alignment to be read so.
    let size = unsafe { ptr::read_unaligned(libc::CMSG_DATA(head).cast::<libc::c_int>()) };
    usize::try_from(size).ok().filter(|size| *size > 0)
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

/// Sends what is held; tells the number of each datagram that was refused.
pub(super) fn send(socket: &impl Socket, arena: &[u8], filled: &[Piece], refused: &mut dyn FnMut(usize)) {
    let filled = &filled[..filled.len().min(MAX_BATCH)];
    let segmented = !NO_SEGMENTATION.load(Ordering::Relaxed);
    if let Err(done) = send_runs(socket, arena, filled, segmented, refused) {
        NO_SEGMENTATION.store(true, Ordering::Relaxed);
        let mut later = |n| refused(done.0 + n);
        // Without segmentation nothing is left to be done without.
        let _ = send_runs(socket, arena, &filled[done.0..], false, &mut later);
    }
}

/// Segmentation is not to be had here: so many datagrams were dealt with.
struct NotSegmented(usize);

/// How many datagrams from `start` on can go as one: the same address, the same length but for a shorter last one.
fn run(filled: &[Piece], segmented: bool) -> usize {
    let Some(Piece { len: segment, address, .. }) = filled.first() else { return 0 };
    if !segmented || *segment == 0 {
        return 1;
    }
    let most = (MAX_SEGMENTED / segment).clamp(1, MAX_SEGMENTS);
    let there = |piece: &Piece| piece.address == *address;
    let equal = filled.iter().take(most).take_while(|piece| piece.len == *segment && there(piece)).count();
    let shorter =
        filled.get(equal).is_some_and(|piece| piece.len > 0 && piece.len < *segment && there(piece));
    if shorter && equal < most { equal + 1 } else { equal }
}

fn send_runs(
    socket: &impl Socket,
    arena: &[u8],
    filled: &[Piece],
    segmented: bool,
    refused: &mut dyn FnMut(usize),
) -> Result<(), NotSegmented> {
    let count = filled.len();
    let mut headers: Headers = [const { MaybeUninit::uninit() }; MAX_BATCH];
    let mut parts = [const { MaybeUninit::<iovec>::uninit() }; MAX_BATCH];
    let mut addresses = [const { MaybeUninit::<SockAddr>::uninit() }; MAX_BATCH];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; MAX_BATCH];
    // Where each message begins, in datagrams.
    let mut starts = [0_usize; MAX_BATCH + 1];
    for (piece, part) in filled.iter().zip(&mut parts) {
        let bytes = &arena[piece.start..piece.start + piece.len];
        // The kernel only reads from a part that is sent.
        part.write(iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
    }
    let (mut messages, mut at) = (0, 0);
    while at < count {
        let together = run(&filled[at..], segmented);
        let Piece { len: segment, address, .. } = filled[at];
        let address = addresses[messages].write(SockAddr::from(address));
        let mut message = header(address.as_ptr().cast_mut().cast(), address.len(), parts[at].as_mut_ptr());
        message.msg_hdr.msg_iovlen = together as _;
        if together > 1 {
            let control = controls[messages].write(Control { bytes: [0; 32] });
            write_segment(control, &mut message.msg_hdr, segment as u16);
        }
        headers[messages].write(message);
        starts[messages] = at;
        messages += 1;
        at += together;
    }
    starts[messages] = count;
    let mut done = 0;
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
                        return Err(NotSegmented(starts[done]));
                    }
                }
                (starts[done]..starts[done + 1]).for_each(&mut *refused);
                done += 1;
            }
        }
    }
    Ok(())
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
        let runs = |pieces: &[(usize, SocketAddr)], segmented| {
            let piece =
                |(len, address): &(usize, SocketAddr)| Piece { start: 0, len: *len, address: *address };
            run(&pieces.iter().map(piece).collect::<Vec<_>>(), segmented)
        };
        assert_eq!(runs(&[(100, a), (100, a), (40, a), (40, a)], true), 3);
        assert_eq!(runs(&[(100, a), (100, b)], true), 1);
        assert_eq!(runs(&[(40, a), (100, a)], true), 1);
        assert_eq!(runs(&[(100, a), (0, a)], true), 1);
        assert_eq!(runs(&[(100, a), (100, a)], false), 1);
        assert_eq!(runs(&[(0, a), (0, a)], true), 1);
        assert_eq!(runs(&[], true), 0);
        assert_eq!(runs(&[(1200, a); 64], true), MAX_SEGMENTS);
        assert_eq!(runs(&[(2000, a); 64], true), MAX_SEGMENTED / 2000);
    }
}
