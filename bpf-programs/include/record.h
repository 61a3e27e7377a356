/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * record.h - the common head of every record. Knows tasks and the ring, and no rule.
 */
#ifndef AGENTGUARD_RECORD_H
#define AGENTGUARD_RECORD_H

#include "decision.h"

#define TEXT_CHUNK 1024

static __always_inline void fill_caller(struct caller *caller)
{
	struct task_struct *task = bpf_get_current_task_btf(), *parent = task->real_parent;
	__u64 uid_gid = bpf_get_current_uid_gid();

	caller->start_ns = task->group_leader->start_boottime;
	caller->parent_start_ns = parent->group_leader->start_boottime;
	caller->tgid = task->tgid;
	caller->tid = task->pid;
	caller->parent_tgid = parent->tgid;
	caller->uid = (__u32)uid_gid;
	caller->gid = uid_gid >> 32;
	caller->pad = 0;
	bpf_get_current_comm(caller->comm, sizeof(caller->comm));
}

/* All but the caller. */
static __always_inline void fill_event(struct event *head, __u32 size, __u32 kind, __u32 call,
				       const struct label *label, const struct decision *decision)
{
	__u32 slot = label->slot;
	struct agent *agent = bpf_map_lookup_elem(&agents, &slot);

	head->time_ns = bpf_ktime_get_boot_ns();
	head->size = size;
	head->kind = kind;
	head->call = call;
	head->op = decision->op;
	head->verdict = decision->verdict;
	head->answer = decision->answer;
	head->reason = decision->reason;
	head->slot = slot;
	head->serial = label->serial;
	head->mode = agent ? agent->mode : MODE_RELEASED;
	head->enforced = decision->enforced;
	head->generation = agent ? agent->generation : 0;
	head->again = decision->told != 0;
	head->hold = decision->hold;
	count(COUNT_EVENTS);
}

static __always_inline void fill_head(struct event *head, __u32 size, __u32 kind, __u32 call,
				      const struct label *label, const struct decision *decision)
{
	fill_event(head, size, kind, call, label, decision);
	fill_caller(&head->caller);
}

/* Reserves a record of a fixed size; a full ring is counted. */
#define reserve_record(type)                                                     \
	({                                                                       \
		type *__record = bpf_ringbuf_reserve(&events, sizeof(type), 0);  \
		if (!__record)                                                   \
			count(COUNT_LOST);                                       \
		__record;                                                        \
	})

/* Turns an answer into a decision: the mode and the back end say whether it has an effect. */
static __always_inline void conclude(struct decision *decision, const struct label *label, __u32 blocks)
{
	__u32 slot = label->slot;
	struct agent *agent = bpf_map_lookup_elem(&agents, &slot);

	decision->verdict = decision->answer & ANSWER_VERDICT_MASK;
	if (decision->reason != REASON_RULE && decision->reason != REASON_DEFAULT &&
	    decision->reason != REASON_RESOLVED_NAME && decision->reason != REASON_ELSEWHERE &&
	    decision->reason != REASON_ANSWERED)
		decision->verdict = VERDICT_DENY; /* could not tell, or nobody may */
	if (decision->reason == REASON_RULE && (decision->answer & ANSWER_LAYER_MASK) == 0)
		decision->reason = REASON_DEFAULT;
	decision->enforced = decision->verdict >= VERDICT_HOLD && blocks && agent && agent->mode == MODE_ENFORCE;
	decision->effect = decision->enforced ? EFFECT_REFUSE : EFFECT_GO_ON;
	if (decision->enforced && decision->verdict == VERDICT_DENY)
		count(label->slot == CANARY_SLOT ? COUNT_CANARY : COUNT_DENIED);
}

/* In chunks, so that the verifier sees each one end inside the buffer. Begin and end are read anew for each: through
 * numbers that stay, the verifier would follow every length that a text can have. */
static __always_inline void append_text(struct bpf_dynptr *ring, __u32 at, struct path_buffer *from)
{
	for (int i = 0; i < MAX_PATH / TEXT_CHUNK + 1; i++) {
		__u32 begin = from->begin + i * TEXT_CHUNK, end = from->end, chunk;

		if (begin >= end)
			break;
		chunk = end - begin;
		if (chunk > TEXT_CHUNK)
			chunk = TEXT_CHUNK;
		barrier_var(chunk);
		chunk &= 2 * TEXT_CHUNK - 1; /* what the verifier sees of the line above */
		bpf_dynptr_write(ring, at + i * TEXT_CHUNK, &from->text[begin & (MAX_PATH - 1)], chunk, 0);
	}
}

#endif
