/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * address.h - socket addresses in one form: 16 bytes, IPv4 as ::ffff:a.b.c.d, "any" as loopback for a peer.
 */
#ifndef AGENTGUARD_ADDRESS_H
#define AGENTGUARD_ADDRESS_H

#include "hook.h"
#include <bpf/bpf_endian.h>

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58

#define S_INET(family) ((family) == AF_INET || (family) == AF_INET6)

static __always_inline __u32 class_of_socket(int family, int type, int protocol)
{
	type &= 0xf; /* SOCK_NONBLOCK, SOCK_CLOEXEC */
	if (family == AF_UNIX)
		return CLASS_SOCKET_UNIX;
	if (family == AF_NETLINK)
		return protocol == 0 ? CLASS_SOCKET_NETLINK_ROUTE : CLASS_SOCKET_NETLINK;
	if (family == AF_PACKET)
		return CLASS_SOCKET_PACKET;
	if (!S_INET(family))
		return CLASS_SOCKET_OTHER;
	if (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP))
		return CLASS_SOCKET_TCP;
	if (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP))
		return CLASS_SOCKET_UDP;
	if (type == SOCK_DGRAM && (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6))
		return CLASS_SOCKET_PING;
	if (type == SOCK_RAW)
		return CLASS_SOCKET_RAW;
	return CLASS_SOCKET_OTHER;
}

struct inet_address {
	__u16 family;
	__be16 port;
	__u32 first;     /* IPv4 address, IPv6 flow label */
	__u32 second[4]; /* IPv6 address */
};

static __always_inline void address_from_v4(__u8 *out, __u32 v4)
{
	__u32 *word = (__u32 *)out;

	word[0] = word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = v4;
}

static __always_inline void address_from_v6(__u8 *out, const __u32 *v6)
{
	__u32 *word = (__u32 *)out;

	word[0] = v6[0];
	word[1] = v6[1];
	word[2] = v6[2];
	word[3] = v6[3];
}

/* To connect to "any" is to connect to this host. */
static __always_inline void any_is_loopback(__u8 *address)
{
	__u32 *word = (__u32 *)address;

	if (word[0] || word[1] || word[3])
		return;
	if (word[2] == bpf_htonl(0xffff))
		word[3] = bpf_htonl(0x7f000001);
	else if (!word[2])
		word[3] = bpf_htonl(1);
}

/* From a sockaddr in kernel memory; false if it is not an internet address. */
static __always_inline bool read_address(const void *from, __u32 len, bool unspecified_is_v4,
					 struct address_request *request)
{
	struct inet_address address = {};

	bpf_probe_read_kernel(&address, 8, from);
	if (address.family == AF_INET || (address.family == AF_UNSPEC && unspecified_is_v4)) {
		address_from_v4(request->address, address.first);
	} else if (address.family == AF_INET6) {
		bpf_probe_read_kernel(&address, sizeof(address), from);
		address_from_v6(request->address, address.second);
	} else {
		return false;
	}
	request->family = address.family;
	request->port = bpf_ntohs(address.port);
	return true;
}

#endif
