/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * decide.h - the only code that looks at rules. It knows agents, text and addresses; it knows no hook, no
 * mode and no record.
 */
#ifndef AGENTGUARD_DECIDE_H
#define AGENTGUARD_DECIDE_H

#include "hook.h"

/* How building a path ended. "No" and "could not tell" are kept apart. */
enum resolution {
	RESOLVED = 0,
	RESOLVED_KERNEL_INTERNAL = 1, /* pipe, socket, memfd, anonymous inode: not in any namespace by design */
	UNRESOLVED = 2,
	UNRESOLVED_TOO_LONG = 3,
};

/* Writes the path of dentry as seen through mount, in that mount's namespace. */
int resolve_path(__u64 dentry, __u64 mount, __u32 flags, struct path_buffer *out);
/* Writes the path of dentry on the host; returns RESOLVED. */
int resolve_host_path(__u64 dentry, struct path_buffer *out);
/* Writes the path of a name that user space gave, below a directory that may be 0 for an absolute one. */
int resolve_name(__u64 dir, __u64 mount, __u64 name, struct path_buffer *out);
/* How many bytes a text has; 0 if there is none. */
__u32 text_length(struct path_buffer *text);
/* 1 if mount is the one under which the host knows this file system: then both paths are the same. */
int is_host_mount(__u64 mount);

/* Another number whenever anything was renamed or mounted on this host; 0 if the kernel does not tell. */
__u64 places_version(void);

/* Walks the agent's automaton over the text and returns the word index of the row, 0 if there are no rules. */
__u32 walk_rules(__u32 slot, struct path_buffer *text);

struct address_answer {
	__u32 answer;
	__u32 reason;
};
/* Fills in the answer for an address; 0 always. */
int decide_address(__u32 slot, struct address_request *request, struct address_answer *out);

static __always_inline __u32 rule_word(__u32 index)
{
	__u32 zero = 0;
	struct rules *arena = bpf_map_lookup_elem(&rules, &zero);

	return arena ? arena->word[index & (RULE_WORDS - 1)] : 0;
}

static __always_inline __u32 verdict_of(__u32 answer)
{
	return answer & ANSWER_VERDICT_MASK;
}

/* The stricter of two answers, "evaluate" below "hold"; on a tie the higher layer. */
static __always_inline __u32 stricter(__u32 a, __u32 b)
{
	__u32 rank_a = (a & ANSWER_VERDICT_MASK) << 6 | (~a & ANSWER_EVALUATE) | (a & ANSWER_LAYER_MASK);
	__u32 rank_b = (b & ANSWER_VERDICT_MASK) << 6 | (~b & ANSWER_EVALUATE) | (b & ANSWER_LAYER_MASK);

	return rank_b > rank_a ? b : a;
}

#endif
