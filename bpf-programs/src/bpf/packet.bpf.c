// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * packet.bpf.c - packets of governed sockets, attached to governed cgroups only: bytes per peer, and the DNS
 * answers that names in grants are followed by.
 *
 * An answer is believed if it comes from a resolver of the agent's ruleset, port 53, UDP, and is followed before
 * the program can read it, so that its next connect finds the address. Blocks nothing. Not covered: DNS over TCP,
 * answers after the 32nd record, IPv6 extension headers.
 */
#include "address.h"
#include "decide.h"
#include "log.h"
#include "record.h"

#define DNS "dns:"
#define DNS_LEN (sizeof(DNS) - 1)
#define DNS_PORT 53
#define DNS_HEADER 12
#define DNS_TYPE_A 1
#define DNS_TYPE_AAAA 28
#define MAX_ANSWERS 32
#define MAX_LABELS 64
#define MIN_FOLLOW_SEC 60    /* programs keep an answer a little longer than it says */
#define MAX_FOLLOW_SEC 86400
#define NS_PER_SEC 1000000000ULL

/* The name in question as text. Per CPU is safe here: packet programs run with bottom halves disabled. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct path_buffer);
} dns_text SEC(".maps");

struct packet {
	__u8 source[16];
	__u8 target[16];
	__u32 protocol;
	__u32 transport; /* offset of the transport header */
	__u16 source_port;
	__u16 target_port;
};

static __always_inline bool read_packet(struct __sk_buff *skb, struct packet *packet)
{
	__u32 address[4];
	__be16 ports[2] = {};
	__u8 first, next;

	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return false;
	if (first >> 4 == 4) {
		packet->transport = (first & 0xf) * 4;
		if (bpf_skb_load_bytes(skb, 9, &next, 1) || bpf_skb_load_bytes(skb, 12, address, 8))
			return false;
		address_from_v4(packet->source, address[0]);
		address_from_v4(packet->target, address[1]);
	} else if (first >> 4 == 6) {
		packet->transport = 40;
		if (bpf_skb_load_bytes(skb, 6, &next, 1) || bpf_skb_load_bytes(skb, 8, packet->source, 16) ||
		    bpf_skb_load_bytes(skb, 24, packet->target, 16))
			return false;
	} else {
		return false;
	}
	packet->protocol = next;
	if (next == IPPROTO_TCP || next == IPPROTO_UDP)
		bpf_skb_load_bytes(skb, packet->transport, ports, sizeof(ports));
	packet->source_port = bpf_ntohs(ports[0]);
	packet->target_port = bpf_ntohs(ports[1]);
	return true;
}

static __always_inline struct label *owner_of(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct label *label;

	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 0;
	label = bpf_sk_storage_get(&socket_label, sk, 0, 0);
	return label && agent_of(label) ? label : 0;
}

static __always_inline void count_bytes(const struct label *label, const __u8 *peer, __u16 port, __u32 protocol,
					__u64 sent, __u64 received)
{
	struct peer_key key = { .slot = label->slot, .serial = label->serial, .port = port, .protocol = protocol };
	struct peer_value fresh = { .sent_bytes = sent, .received_bytes = received };
	struct peer_value *known;

	__builtin_memcpy(key.address, peer, sizeof(key.address));
	known = bpf_map_lookup_elem(&peer_bytes, &key);
	if (!known) {
		fresh.last_ns = bpf_ktime_get_boot_ns();
		bpf_map_update_elem(&peer_bytes, &key, &fresh, BPF_ANY);
		return;
	}
	__sync_fetch_and_add(&known->sent_bytes, sent);
	__sync_fetch_and_add(&known->received_bytes, received);
	known->last_ns = bpf_ktime_get_boot_ns();
}

/* Turns length-prefixed labels into dotted lower case, one byte a step. */
struct name_scan {
	struct path_buffer *text;
	__u32 position; /* in the text */
	__u32 remaining;
	__u32 done;
};

static long scan_name(__u32 index, struct name_scan *scan)
{
	char *byte = &scan->text->text[scan->position & (MAX_PATH - 1)];
	__u32 value = (__u8)*byte;

	if (scan->remaining == 0) {
		if (value == 0 || value > 63) {
			scan->done = value == 0;
			return 1;
		}
		scan->remaining = value;
		*byte = '.';
	} else {
		if (value >= 'A' && value <= 'Z')
			*byte = value + ('a' - 'A');
		scan->remaining--;
	}
	scan->position++;
	return 0;
}

/* Reads the question's name as "dns:NAME"; returns its length on the wire, 0 if it is malformed. */
static __always_inline __u32 read_name(struct __sk_buff *skb, __u32 at, struct path_buffer *text)
{
	struct name_scan scan = { .text = text, .position = DNS_LEN };
	__u32 len = skb->len;
	__u8 first;

	if (len < at + 2 || bpf_skb_load_bytes(skb, at, &first, 1) || first == 0 || first > 63)
		return 0;
	len -= at + 1;
	if (len > MAX_NAME)
		len = MAX_NAME;
	if (len == 0)
		return 0;
	len--;
	barrier_var(len);
	len &= MAX_NAME - 1; /* the verifier wants at least one byte and an end */
	__builtin_memcpy(text->text, DNS, DNS_LEN);
	if (bpf_skb_load_bytes(skb, at + 1, &text->text[DNS_LEN], len + 1))
		return 0;
	scan.remaining = first;
	bpf_loop(MAX_NAME, scan_name, &scan, 0);
	if (!scan.done)
		return 0;
	text->begin = 0;
	text->end = scan.position;
	return scan.position - DNS_LEN + 2;
}

struct answer_scan {
	struct __sk_buff *skb;
	struct path_buffer *text;
	__u32 offset;
	__u32 left;
	__u32 slot;
	__u32 serial;
	__u32 generation;
	__u32 answer;
};

struct label_scan {
	struct __sk_buff *skb;
	__u32 offset;
	__u32 done;
};

static long skip_label(__u32 index, struct label_scan *scan)
{
	__u8 len;

	if (bpf_skb_load_bytes(scan->skb, scan->offset, &len, 1))
		return 1;
	if (len == 0 || len >= 0xc0) {
		scan->offset += len ? 2 : 1;
		scan->done = 1;
		return 1;
	}
	scan->offset += 1 + len;
	return 0;
}

/* Written by hand: no task is current that this record could be about. */
static __always_inline void record_resolved(const struct answer_scan *scan, const __u8 *address, __u32 ttl)
{
	struct resolved_event *record = reserve_record(struct resolved_event);
	__u32 len = scan->text->end - DNS_LEN;

	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.time_ns = bpf_ktime_get_boot_ns();
	record->head.size = sizeof(*record);
	record->head.kind = EVENT_RESOLVED;
	record->head.call = CALL_RESOLVE;
	record->head.op = PATH_RESOLVE;
	record->head.answer = scan->answer;
	record->head.slot = scan->slot;
	record->head.serial = scan->serial;
	record->head.generation = scan->generation;
	__builtin_memcpy(record->address, address, sizeof(record->address));
	record->ttl_sec = ttl;
	record->name_len = len > MAX_NAME ? MAX_NAME : len;
	bpf_probe_read_kernel(record->name, MAX_NAME, &scan->text->text[DNS_LEN]);
	count(COUNT_EVENTS);
	bpf_ringbuf_submit(record, 0);
}

static __always_inline void follow(const struct answer_scan *scan, const __u8 *address, __u32 ttl)
{
	struct resolved_key key = { .serial = scan->serial };
	struct resolved_value fresh = {};
	struct resolved_value *known;
	struct resolved_name name = { .answer = scan->answer, .generation = scan->generation };
	__u64 now = bpf_ktime_get_boot_ns();

	if (ttl < MIN_FOLLOW_SEC)
		ttl = MIN_FOLLOW_SEC;
	if (ttl > MAX_FOLLOW_SEC)
		ttl = MAX_FOLLOW_SEC;
	name.expires_ns = now + ttl * NS_PER_SEC;
	__builtin_memcpy(key.address, address, sizeof(key.address));
	known = bpf_map_lookup_elem(&resolved_names, &key);
	if (!known) {
		fresh.name[0] = name;
		bpf_map_update_elem(&resolved_names, &key, &fresh, BPF_ANY);
		return;
	}
	for (int i = 0; i < NAMES_PER_ADDRESS; i++) {
		struct resolved_name *entry = &known->name[i];

		if (entry->expires_ns > now && entry->generation == scan->generation &&
		    entry->answer != scan->answer)
			continue;
		*entry = name;
		return;
	}
	developer_log(LOG_WARN, "DNS: more than ", NAMES_PER_ADDRESS, " granted names for one address, rule 0x",
		      scan->answer >> ANSWER_RULE_SHIFT);
	count(COUNT_DNS_SKIPPED);
}

struct answer_record {
	__be16 type;
	__be16 class;
	__u16 ttl[2];
	__be16 len;
};

static long scan_answer(__u32 index, struct answer_scan *scan)
{
	struct label_scan labels = { .skb = scan->skb, .offset = scan->offset };
	struct answer_record record;
	__u8 address[16];
	__u32 v4, ttl;

	if (index >= scan->left)
		return 1;
	bpf_loop(MAX_LABELS, skip_label, &labels, 0);
	if (!labels.done || bpf_skb_load_bytes(scan->skb, labels.offset, &record, sizeof(record))) {
		developer_log(LOG_WARN, "DNS: answer ", index, " cannot be read at byte 0x", labels.offset);
		count(COUNT_DNS_SKIPPED);
		return 1;
	}
	labels.offset += sizeof(record);
	scan->offset = labels.offset + bpf_ntohs(record.len);
	ttl = (__u32)bpf_ntohs(record.ttl[0]) << 16 | bpf_ntohs(record.ttl[1]);
	if (record.type == bpf_htons(DNS_TYPE_A) && record.len == bpf_htons(4)) {
		if (bpf_skb_load_bytes(scan->skb, labels.offset, &v4, 4))
			return 1;
		address_from_v4(address, v4);
	} else if (record.type == bpf_htons(DNS_TYPE_AAAA) && record.len == bpf_htons(16)) {
		if (bpf_skb_load_bytes(scan->skb, labels.offset, address, 16))
			return 1;
	} else {
		return 0; /* CNAME and the like: the addresses come later */
	}
	follow(scan, address, ttl);
	record_resolved(scan, address, ttl);
	return 0;
}

struct dns_header {
	__be16 id;
	__u8 flags; /* 0x80: an answer */
	__u8 code;  /* low four bits */
	__be16 questions;
	__be16 answers;
	__be16 authorities;
	__be16 additional;
};

static __always_inline void follow_answers(struct __sk_buff *skb, struct packet *packet, const struct label *label)
{
	__u32 at = packet->transport + 8, slot = label->slot, zero = 0, row, name_len;
	struct agent *agent = bpf_map_lookup_elem(&agents, &slot);
	struct path_buffer *text = bpf_map_lookup_elem(&dns_text, &zero);
	struct resolver_key resolver = {};
	struct answer_scan scan = { .skb = skb, .text = text, .slot = slot, .serial = label->serial };
	struct dns_header header;

	if (!agent || !text)
		return;
	resolver.ruleset = agent->ruleset;
	__builtin_memcpy(resolver.address, packet->source, sizeof(resolver.address));
	if (!bpf_map_lookup_elem(&resolvers, &resolver))
		return;
	if (bpf_skb_load_bytes(skb, at, &header, sizeof(header)) || !(header.flags & 0x80) || header.code & 0xf ||
	    header.questions != bpf_htons(1))
		return;
	name_len = read_name(skb, at + DNS_HEADER, text);
	if (!name_len) {
		developer_log(LOG_WARN, "DNS: the name in question cannot be read, packet of ", skb->len,
			      " bytes, at 0x", at);
		count(COUNT_DNS_SKIPPED);
		return;
	}
	row = walk_rules(slot, text);
	if (!row)
		return;
	scan.answer = rule_word(row + PATH_RESOLVE);
	if (verdict_of(scan.answer) == VERDICT_DENY || scan.answer >> ANSWER_RULE_SHIFT == 0)
		return;
	scan.generation = agent->generation;
	scan.offset = at + DNS_HEADER + name_len + 4;
	scan.left = bpf_ntohs(header.answers);
	bpf_loop(MAX_ANSWERS, scan_answer, &scan, 0);
}

SEC("cgroup_skb/ingress")
int on_ingress(struct __sk_buff *skb)
{
	struct label *label = owner_of(skb);
	struct packet packet = {};

	if (!label || !read_packet(skb, &packet))
		return 1;
	count_bytes(label, packet.source, packet.source_port, packet.protocol, 0, skb->len);
	if (packet.protocol == IPPROTO_UDP && packet.source_port == DNS_PORT)
		follow_answers(skb, &packet, label);
	return 1;
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb)
{
	struct label *label = owner_of(skb);
	struct packet packet = {};

	if (label && read_packet(skb, &packet))
		count_bytes(label, packet.target, packet.target_port, packet.protocol, skb->len, 0);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
