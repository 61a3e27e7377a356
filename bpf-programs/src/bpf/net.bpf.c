// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * net.bpf.c - sockets: which kinds, to which peers, on which local addresses; unix sockets by path or name.
 *
 * Every call that can name a peer is asked: connect, sendto and sendmsg (unconnected UDP, TCP fast open). Not
 * covered: bytes on a connection that was allowed, unless the agent's rules became tighter since; then what sendfile
 * sends before Linux 6.5.
 */
#include "address.h"
#include "record.h"

#define UNIX_HEADER 2 /* sun_family */

SEC("lsm/socket_create")
int BPF_PROG(on_socket_create, int family, int type, int protocol, int kernel)
{
	struct class_request request = { .call = CALL_SOCKET, .arg = { family, type, protocol } };

	if (kernel || !governed())
		return 0;
	request.op = class_of_socket(family, type, protocol);
	return outcome(enforce_class(&request));
}

/* So that packets of this socket are known where no task is current. Accepted sockets inherit it. */
SEC("lsm/socket_post_create")
int BPF_PROG(after_socket_create, struct socket *sock, int family, int type, int protocol, int kernel)
{
	struct label *label = label_of(bpf_get_current_task_btf());
	struct sock *sk = sock->sk;
	struct label copy;

	if (kernel || !sk || !S_INET(family) || !label || !agent_of(label))
		return 0;
	copy = *label;
	if (!bpf_sk_storage_get(&socket_label, sk, &copy, BPF_LOCAL_STORAGE_GET_F_CREATE))
		count(COUNT_NO_MEMORY);
	return 0;
}

static __always_inline __u32 protocol_of(struct socket *sock)
{
	return BPF_CORE_READ(sock, sk, sk_protocol);
}

static __always_inline void read_local(struct socket *sock, struct address_request *request)
{
	struct sock *sk = BPF_CORE_READ(sock, sk);
	struct in6_addr local = {};

	request->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
		BPF_CORE_READ_INTO(&local, sk, __sk_common.skc_v6_rcv_saddr);
		address_from_v6(request->local, local.in6_u.u6_addr32);
	} else {
		address_from_v4(request->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	}
}

SEC("lsm/socket_connect")
int BPF_PROG(on_connect, struct socket *sock, struct sockaddr *address, int len)
{
	struct address_request request = { .call = CALL_CONNECT, .op = ADDRESS_CONNECT };

	if (!governed())
		return 0;
	/* AF_UNSPEC ends an association; unix peers are asked about below, where they are resolved. */
	if (!read_address(address, len, false, &request))
		return 0;
	any_is_loopback(request.address);
	request.protocol = protocol_of(sock);
	read_local(sock, &request);
	return outcome(enforce_address(&request));
}

/* A datagram to the same peer as before needs no second record. */
static __always_inline bool known_peer(struct address_request *request)
{
	struct label *label = label_of(bpf_get_current_task_btf());
	struct peer_key key = {};

	if (!label)
		return false;
	key.slot = label->slot;
	key.serial = label->serial;
	__builtin_memcpy(key.address, request->address, sizeof(key.address));
	key.port = request->port;
	key.protocol = request->protocol;
	return bpf_map_lookup_elem(&peer_bytes, &key);
}

/* The peer of a connected internet socket; false if it is none. */
static __always_inline bool read_peer(struct sock *sk, struct address_request *request)
{
	struct in6_addr peer = {};

	request->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	request->port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (!S_INET(request->family))
		return false;
	if (request->family == AF_INET6) {
		BPF_CORE_READ_INTO(&peer, sk, __sk_common.skc_v6_daddr);
		address_from_v6(request->address, peer.in6_u.u6_addr32);
	} else {
		address_from_v4(request->address, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	}
	return request->port != 0;
}

/* The rules were tightened after the connection was made. */
static __always_inline int send_on_connection(struct socket *sock, int size)
{
	struct address_request request = { .call = CALL_SEND, .op = ADDRESS_CONNECT, .flags = QUIET };

	if (!read_peer(BPF_CORE_READ(sock, sk), &request))
		return 0;
	request.protocol = protocol_of(sock);
	request.size = size;
	read_local(sock, &request);
	return outcome(enforce_address(&request));
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(on_sendmsg, struct socket *sock, struct msghdr *message, int size)
{
	struct address_request request = { .call = CALL_SEND, .op = ADDRESS_CONNECT };
	struct agent *agent = own_agent();
	struct sock *sk;
	void *name;
	bool v4;

	if (!agent)
		return 0;
	name = message->msg_name;
	sk = sock->sk;
	if (!sk)
		return 0;
	if (!name)
		return agent->asks_each_send ? send_on_connection(sock, size) : 0;
	/* IPv4 UDP takes an address of no family for one of its own. */
	v4 = sk->__sk_common.skc_family == AF_INET;
	if (!v4 && sk->__sk_common.skc_family != AF_INET6)
		return 0;
	if (!read_address(name, message->msg_namelen, v4, &request))
		return 0;
	any_is_loopback(request.address);
	request.protocol = protocol_of(sock);
	request.size = size;
	request.flags = known_peer(&request) ? QUIET : 0;
	read_local(sock, &request);
	return outcome(enforce_address(&request));
}

/* An abstract unix address is matched as "@NAME". */
static __always_inline void ask_for_abstract(struct path_request *request, const void *name, __u32 len)
{
	request->flags = IS_TEXT;
	request->text = (__u64)name;
	request->text_len = len > 107 ? 107 : len;
}

SEC("lsm/socket_bind")
int BPF_PROG(on_bind, struct socket *sock, struct sockaddr *address, int len)
{
	struct address_request request = { .call = CALL_BIND, .op = ADDRESS_LISTEN };

	if (!governed() || !read_address(address, len, true, &request))
		return 0;
	if (request.port == 0)
		return 0; /* any free port, as every client has; listening on it is asked about below */
	request.protocol = protocol_of(sock);
	__builtin_memcpy(request.local, request.address, sizeof(request.local));
	request.local_port = request.port;
	return outcome(enforce_address(&request));
}

/* An abstract name. A name with a path is a file that is created, see file.bpf.c. */
SEC("lsm/socket_bind")
int BPF_PROG(on_unix_bind, struct socket *sock, struct sockaddr *address, int len)
{
	struct path_request request = { .call = CALL_BIND, .op = PATH_BIND, .also = NO_OP };
	void *name = (void *)address + UNIX_HEADER;
	unsigned short family = 0;
	char first = 1;

	if (!governed())
		return 0;
	bpf_probe_read_kernel(&family, sizeof(family), address);
	if (family != AF_UNIX || len <= UNIX_HEADER + 1)
		return 0;
	bpf_probe_read_kernel(&first, 1, name);
	if (first)
		return 0;
	ask_for_abstract(&request, name + 1, len - UNIX_HEADER - 1);
	return outcome(enforce_path(&request));
}

/* listen and accept are decided by the local address. */
static __always_inline int enforce_listen(struct socket *sock, __u32 call)
{
	struct address_request request = { .call = call, .op = ADDRESS_LISTEN };
	unsigned short family = BPF_CORE_READ(sock, sk, __sk_common.skc_family);

	if (!S_INET(family))
		return 0;
	request.family = family;
	request.protocol = protocol_of(sock);
	read_local(sock, &request);
	request.port = request.local_port;
	__builtin_memcpy(request.address, request.local, sizeof(request.address));
	return outcome(enforce_address(&request));
}

SEC("lsm/socket_listen")
int BPF_PROG(on_listen, struct socket *sock)
{
	if (!governed())
		return 0;
	return enforce_listen(sock, CALL_LISTEN);
}

SEC("lsm/socket_accept")
int BPF_PROG(on_accept, struct socket *sock)
{
	if (!governed())
		return 0;
	return enforce_listen(sock, CALL_ACCEPT);
}

/* A connected socket that somebody passed: as if the task had connected it itself. */
SEC("lsm/file_receive")
int BPF_PROG(on_socket_receive, struct file *file)
{
	struct address_request request = { .call = CALL_RECEIVE_FD, .op = ADDRESS_CONNECT };
	struct socket *sock;
	bool connected;

	if (!governed() || (file->f_inode->i_mode & S_IFMT) != S_IFSOCK)
		return 0;
	sock = BPF_CORE_READ(file, private_data);
	connected = read_peer(BPF_CORE_READ(sock, sk), &request);
	if (!S_INET(request.family))
		return 0;
	request.protocol = protocol_of(sock);
	if (!connected)
		return enforce_listen(sock, CALL_RECEIVE_FD); /* not connected: a listener, or nothing yet */
	return outcome(enforce_address(&request));
}

/* The peer is resolved: its path is that of the file that was bound, its name that of its own address. */
static __always_inline int enforce_unix_peer(struct sock *other, __u32 call)
{
	struct unix_sock *peer = (struct unix_sock *)other;
	struct unix_address *address = BPF_CORE_READ(peer, addr);
	struct path_request request = {
		.call = call,
		.op = PATH_CONNECT,
		.also = NO_OP,
		.flags = ANY_NAMESPACE,
	};
	void *name = (void *)address + bpf_core_field_offset(struct unix_address, name) + UNIX_HEADER;
	char first = 1;

	request.dentry = (__u64)BPF_CORE_READ(peer, path.dentry);
	request.mount = (__u64)BPF_CORE_READ(peer, path.mnt);
	if (!request.dentry) {
		if (!address)
			return 0; /* a pair that the tasks made themselves */
		bpf_probe_read_kernel(&first, 1, name);
		if (first)
			return 0;
		ask_for_abstract(&request, name + 1, BPF_CORE_READ(address, len) - UNIX_HEADER - 1);
	}
	return outcome(enforce_path(&request));
}

SEC("lsm/unix_stream_connect")
int BPF_PROG(on_unix_connect, struct sock *sock, struct sock *other)
{
	if (!governed())
		return 0;
	return enforce_unix_peer(other, CALL_CONNECT);
}

SEC("lsm/unix_may_send")
int BPF_PROG(on_unix_send, struct socket *sock, struct socket *other)
{
	if (!governed())
		return 0;
	return enforce_unix_peer(BPF_CORE_READ(other, sk), CALL_SEND);
}

char LICENSE[] SEC("license") = "GPL";
