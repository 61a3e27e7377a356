//! Sockets with any numbers and any address bytes, and descriptors sent through them.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, c_int, c_long};

use super::own;
use crate::address::Address;

/// Messages in one sendmmsg.
const MESSAGES: u32 = 3;

/// socket.
pub(crate) fn socket(family: c_int, kind: c_int, protocol: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: numbers only.
    own(c_long::from(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) }))
}

fn sockaddr(address: &Address) -> (*const libc::sockaddr, libc::socklen_t) {
    (address.bytes().as_ptr().cast(), address.bytes().len() as libc::socklen_t)
}

/// connect.
pub(crate) fn connect(socket: BorrowedFd<'_>, address: &Address) -> Result<(), Errno> {
    let (pointer, length) = sockaddr(address);
    // SAFETY: the address bytes live through the call and the length is theirs.
    Errno::result(unsafe { libc::connect(socket.as_raw_fd(), pointer, length) }).map(drop)
}

/// bind.
pub(crate) fn bind(socket: BorrowedFd<'_>, address: &Address) -> Result<(), Errno> {
    let (pointer, length) = sockaddr(address);
    // SAFETY: the address bytes live through the call and the length is theirs.
    Errno::result(unsafe { libc::bind(socket.as_raw_fd(), pointer, length) }).map(drop)
}

/// listen.
pub(crate) fn listen(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::listen(socket.as_raw_fd(), 8) }).map(drop)
}

/// accept.
pub(crate) fn accept(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: null means that the peer's address is not wanted.
    own(c_long::from(unsafe {
        libc::accept4(socket.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), libc::SOCK_CLOEXEC)
    }))
}

/// sendto; without an address, send.
pub(crate) fn send_to(
    socket: BorrowedFd<'_>,
    data: &[u8],
    flags: c_int,
    address: Option<&Address>,
) -> Result<(), Errno> {
    let (pointer, length) = address.map_or((ptr::null(), 0), sockaddr);
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: data and address live through the call and the lengths are theirs.
    let result =
        unsafe { libc::sendto(socket.as_raw_fd(), data.as_ptr().cast(), data.len(), flags, pointer, length) };
    Errno::result(result).map(drop)
}

/// recv of up to `buffer.len()` bytes.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is live and the length is its own.
    let result = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    Errno::result(result).map(isize::cast_unsigned)
}

fn header(address: Option<&Address>, data: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: a msghdr of zeros is an empty message.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    if let Some(address) = address {
        let (pointer, length) = sockaddr(address);
        header.msg_name = pointer.cast_mut().cast();
        header.msg_namelen = length;
    }
    header.msg_iov = data;
    header.msg_iovlen = 1;
    header
}

fn iovec(data: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() }
}

/// sendmmsg of the same data several times; how many messages went out.
pub(crate) fn send_many(socket: BorrowedFd<'_>, data: &[u8], address: &Address) -> Result<c_int, Errno> {
    let mut part = iovec(data);
    let mut messages: Vec<libc::mmsghdr> = (0..MESSAGES)
        .map(|_| libc::mmsghdr { msg_hdr: header(Some(address), &mut part), msg_len: 0 })
        .collect();
    // SAFETY: every header points to the same live iovec and address, which sending only reads.
    Errno::result(unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), MESSAGES, 0) })
}

/// sendmsg.
pub(crate) fn send_message(socket: BorrowedFd<'_>, data: &[u8], address: &Address) -> Result<(), Errno> {
    let mut part = iovec(data);
    let message = header(Some(address), &mut part);
    // SAFETY: the header points to live data and address, which sending only reads.
    Errno::result(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })
        .map(drop)
}

/// setsockopt of a number.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: c_int,
) -> Result<(), Errno> {
    set_option_bytes(socket, level, option, &value.to_ne_bytes())
}

/// setsockopt of bytes.
pub(crate) fn set_option_bytes(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: &[u8],
) -> Result<(), Errno> {
    // SAFETY: the value lives through the call and the length is its own.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}

/// Room for one descriptor in a control message.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Sends a descriptor (SCM_RIGHTS).
pub(crate) fn send_descriptor(socket: BorrowedFd<'_>, descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut part = iovec(b"fd");
    let mut control = Control([0; 64]);
    let mut message = header(None, &mut part);
    message.msg_control = (&raw mut control).cast();
    // SAFETY: the control buffer is aligned and has room for one header with one number.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size_of::<c_int>() as u32) as usize;
        let entry = libc::CMSG_FIRSTHDR(&raw const message);
        (*entry).cmsg_level = libc::SOL_SOCKET;
        (*entry).cmsg_type = libc::SCM_RIGHTS;
        (*entry).cmsg_len = libc::CMSG_LEN(size_of::<c_int>() as u32) as usize;
        libc::CMSG_DATA(entry).cast::<c_int>().write_unaligned(descriptor.as_raw_fd());
    }
    // SAFETY: the header points to live data and control bytes.
    Errno::result(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })
        .map(drop)
}

/// Receives a descriptor. EACCES when the message came without it, which is how a refusal shows on some kernels.
pub(crate) fn receive_descriptor(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mut byte = [0_u8; 8];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    let mut control = Control([0; 64]);
    let mut message = header(None, &mut part);
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: the header points to a live buffer and aligned control bytes with their true lengths.
    Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) })?;
    // SAFETY: the kernel has filled the control bytes; CMSG_FIRSTHDR is null if there is no whole entry.
    unsafe {
        let entry = libc::CMSG_FIRSTHDR(&raw const message);
        if entry.is_null()
            || (*entry).cmsg_type != libc::SCM_RIGHTS
            || (*entry).cmsg_len < libc::CMSG_LEN(size_of::<c_int>() as u32) as usize
        {
            return Err(Errno::EACCES);
        }
        let number = libc::CMSG_DATA(entry).cast::<c_int>().read_unaligned();
        Ok(OwnedFd::from_raw_fd(number))
    }
}

/// Makes a tun interface on an open /dev/net/tun.
pub(crate) fn make_tun(device: BorrowedFd<'_>, name: &[u8; 16]) -> Result<(), Errno> {
    // SAFETY: ifreq is plain bytes, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: TUNSETIFF takes a pointer to an ifreq, which lives through the call.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }).map(drop)
}

/// Makes an AF_ALG socket's address usable, or any other option-less family's: getsockname into nothing.
pub(crate) fn local_port(socket: BorrowedFd<'_>) -> Result<u16, Errno> {
    let mut bytes = [0_u8; 128];
    let mut length = bytes.len() as libc::socklen_t;
    // SAFETY: the buffer is live and the length is its own.
    Errno::result(unsafe {
        libc::getsockname(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), &raw mut length)
    })?;
    Ok(u16::from_be_bytes([bytes[2], bytes[3]]))
}
