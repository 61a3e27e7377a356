// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * decide.bpf.c - text and addresses against an agent's rules.
 *
 * Cost grows with the length of the text, never with the number of rules. Anything missing is REASON_NO_RULES,
 * which denies.
 */
#include "decide.h"

#define BYTES_PER_STEP 16
#define MAX_STEPS (MAX_PATH / BYTES_PER_STEP + 1)

struct text_walk {
	struct path_buffer *text;
	__u32 position;
	__u32 end;
	__u32 state;
	__u32 classes; /* word indices in the arena */
	__u32 states;
	__u32 comb;
};

/* Unrolled, and with one address for all bytes: for whatever counts them the verifier would go back through all steps at
 * each of them. */
static long match_bytes(__u32 index, struct text_walk *walk)
{
	struct path_buffer *text = walk->text;
	__u32 position = walk->position, end = walk->end, state = walk->state;
	__u32 states = walk->states, comb = walk->comb, classes = walk->classes;
	__u8 *bytes = (__u8 *)&text->text[position & (MAX_PATH - 1)];
	__u32 zero = 0;
	struct rules *arena = bpf_map_lookup_elem(&rules, &zero);

	if (!arena)
		return 1;
#pragma unroll BYTES_PER_STEP
	for (int i = 0; i < BYTES_PER_STEP; i++) {
		__u32 class, row, cell;

		if (position >= end)
			break;
		class = arena->word[(classes + bytes[i]) & (RULE_WORDS - 1)];
		row = states + 3 * state;
		cell = comb + 2 * (arena->word[row & (RULE_WORDS - 1)] + class);
		if (arena->word[cell & (RULE_WORDS - 1)] == state)
			state = arena->word[(cell + 1) & (RULE_WORDS - 1)];
		else
			state = arena->word[(row + 1) & (RULE_WORDS - 1)];
		position++;
	}
	walk->position = position;
	walk->state = state;
	return position >= end;
}

__noinline __u32 walk_rules(__u32 slot, struct path_buffer *text)
{
	struct agent *agent = bpf_map_lookup_elem(&agents, &slot);
	struct text_walk walk = {};
	__u32 base;

	if (!agent || !text || agent->rules == 0)
		return 0;
	base = agent->rules;
	walk.text = text;
	walk.position = text->begin;
	walk.end = text->end > MAX_PATH ? MAX_PATH : text->end;
	walk.state = rule_word(base);
	walk.states = base + rule_word(base + 1);
	walk.comb = base + rule_word(base + 2);
	walk.classes = base + 4;
	bpf_loop(MAX_STEPS, match_bytes, &walk, 0);
	return base + rule_word(base + 3) + 2 * NR_PATH_OPS * rule_word(walk.states + 3 * walk.state + 2);
}

struct scan {
	__u32 word;
	__u32 port;
	__u32 protocol;
	__u32 guardrail;
	__u32 grant;
	__u32 found;
};

static long scan_range(__u32 index, struct scan *scan)
{
	__u32 word = scan->word + index * (sizeof(struct range) / 4);
	__u32 ports = rule_word(word), protocol = rule_word(word + 1);

	if (scan->port < (ports & 0xffff) || scan->port > ports >> 16)
		return 0;
	if (protocol != 0 && protocol != scan->protocol)
		return 0;
	scan->guardrail = rule_word(word + 2);
	scan->grant = rule_word(word + 3);
	scan->found = 1;
	return 1;
}

/* The grant of a name that resolved to this address and covers the port; 0 if there is none. */
static __always_inline __u32 grant_by_name(const struct agent *agent, struct address_request *request,
					   struct scan *scan)
{
	struct resolved_key key = { .serial = agent->serial };
	struct resolved_value *known;
	__u64 now = bpf_ktime_get_boot_ns();

	__builtin_memcpy(key.address, request->address, sizeof(key.address));
	known = bpf_map_lookup_elem(&resolved_names, &key);
	if (!known)
		return 0;
	for (int i = 0; i < NAMES_PER_ADDRESS; i++) {
		__u32 rule = known->name[i].answer >> ANSWER_RULE_SHIFT;
		__u32 entry;

		if (known->name[i].expires_ns < now || known->name[i].generation != agent->generation || rule == 0)
			continue;
		entry = agent->names + 2 * (rule - 1);
		scan->word = rule_word(entry); /* absolute, as in prefix_ranges */
		scan->found = 0;
		bpf_loop(rule_word(entry + 1) & (2 * MAX_RANGES - 1), scan_range, scan, 0);
		if (scan->found)
			return 1;
	}
	return 0;
}

__noinline int decide_address(__u32 slot, struct address_request *request, struct address_answer *out)
{
	struct agent *agent = bpf_map_lookup_elem(&agents, &slot);
	struct prefix_key key = { .bits = 64 + 128 };
	struct prefix_value *ranges;
	struct scan scan = {};
	__u32 guardrail;

	if (!request || !out)
		return 0;
	out->answer = VERDICT_DENY;
	out->reason = REASON_NO_RULES;
	if (!agent)
		return 0;
	key.ruleset = agent->ruleset;
	key.op = request->op;
	__builtin_memcpy(key.address, request->address, sizeof(key.address));
	ranges = bpf_map_lookup_elem(&prefix_ranges, &key);
	if (!ranges)
		return 0;
	scan.word = ranges->ranges;
	scan.port = request->port;
	scan.protocol = request->protocol;
	bpf_loop(ranges->count > MAX_RANGES ? MAX_RANGES : ranges->count, scan_range, &scan, 0);
	if (!scan.found)
		return 0;
	guardrail = scan.guardrail;
	out->reason = REASON_RULE;
	if ((scan.grant & ANSWER_LAYER_MASK) == 0 && request->op == ADDRESS_CONNECT &&
	    grant_by_name(agent, request, &scan))
		out->reason = REASON_RESOLVED_NAME;
	out->answer = stricter(scan.grant, guardrail);
	if (out->answer != scan.grant)
		out->reason = REASON_RULE;
	if (out->reason == REASON_RULE && (out->answer & ANSWER_LAYER_MASK) == 0)
		out->reason = REASON_DEFAULT;
	return 0;
}
