// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * cgroup.bpf.c - network requests by cgroup programs, for kernels that refuse both kinds of LSM attachment.
 *
 * Attached to governed cgroups. Sockets, connects, sends and binds of IPv4 and IPv6 are blocked here; unix
 * sockets, listening and accepting are not, and a task that leaves its cgroup is out of reach.
 */
#include "address.h"
#include "decide.h"

#define REFUSE 0
#define GO_ON 1

static __always_inline int enforce_peer(struct bpf_sock_addr *ctx, __u32 call, __u32 op, bool v4)
{
	struct address_request request = { .call = call, .op = op, .flags = BLOCKS };

	if (!governed())
		return GO_ON;
	if (v4) {
		address_from_v4(request.address, ctx->user_ip4);
	} else {
		__u32 v6[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };

		address_from_v6(request.address, v6);
	}
	request.family = v4 ? AF_INET : AF_INET6;
	request.port = bpf_ntohs((__u16)ctx->user_port);
	request.protocol = ctx->protocol;
	if (op == ADDRESS_CONNECT)
		any_is_loopback(request.address);
	else if (request.port == 0)
		return GO_ON;
	return enforce_address(&request) ? REFUSE : GO_ON;
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr *ctx)
{
	return enforce_peer(ctx, CALL_CONNECT, ADDRESS_CONNECT, true);
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr *ctx)
{
	return enforce_peer(ctx, CALL_CONNECT, ADDRESS_CONNECT, false);
}

SEC("cgroup/sendmsg4")
int on_sendmsg4(struct bpf_sock_addr *ctx)
{
	return enforce_peer(ctx, CALL_SEND, ADDRESS_CONNECT, true);
}

SEC("cgroup/sendmsg6")
int on_sendmsg6(struct bpf_sock_addr *ctx)
{
	return enforce_peer(ctx, CALL_SEND, ADDRESS_CONNECT, false);
}

SEC("cgroup/bind4")
int on_bind4(struct bpf_sock_addr *ctx)
{
	return enforce_peer(ctx, CALL_BIND, ADDRESS_LISTEN, true);
}

SEC("cgroup/bind6")
int on_bind6(struct bpf_sock_addr *ctx)
{
	return enforce_peer(ctx, CALL_BIND, ADDRESS_LISTEN, false);
}

SEC("cgroup/sock_create")
int on_sock_create(struct bpf_sock *sk)
{
	struct class_request request = { .call = CALL_SOCKET, .flags = BLOCKS };
	struct label *label = label_of(bpf_get_current_task_btf());
	struct label copy;

	if (!label || !agent_of(label))
		return GO_ON;
	copy = *label;
	request.arg[0] = sk->family;
	request.arg[1] = sk->type;
	request.arg[2] = sk->protocol;
	request.op = class_of_socket(sk->family, sk->type, sk->protocol);
	if (enforce_class(&request))
		return REFUSE;
	if (!bpf_sk_storage_get(&socket_label, sk, &copy, BPF_LOCAL_STORAGE_GET_F_CREATE))
		count(COUNT_NO_MEMORY);
	return GO_ON;
}

char LICENSE[] SEC("license") = "GPL";
