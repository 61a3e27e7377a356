// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* siphash.bpf.c - the parts of siphash.h that are functions. */
#include "siphash.h"

#define WORD 8

static __always_inline void add_word(struct siphash *state, __u64 word)
{
	state->v3 ^= word;
	siphash_round(state);
	siphash_round(state);
	state->v0 ^= word;
}

__noinline int siphash_word(struct siphash *state, __u64 word)
{
	if (state)
		add_word(state, word);
	return 0;
}

struct text_hash {
	struct siphash *state;
	struct path_buffer *text;
};

/* Begin and end are read anew each time: through numbers that stay, the verifier would follow every pass. */
static long hash_word(__u32 index, struct text_hash *hash)
{
	struct path_buffer *text = hash->text;
	__u32 begin = text->begin, len = text->end - begin, done = index * WORD;
	bool last = len - done < WORD;
	__u64 word = 0;

	bpf_probe_read_kernel(&word, last ? len & (WORD - 1) : WORD, &text->text[(begin + done) & (MAX_PATH - 1)]);
	add_word(hash->state, word);
	return last;
}

/* All of the text, and its length. */
__noinline int siphash_text(struct siphash *state, struct path_buffer *text)
{
	struct text_hash hash = { .state = state, .text = text };

	if (!state || !text)
		return 0;
	bpf_loop(MAX_PATH / WORD + 1, hash_word, &hash, 0);
	siphash_word(state, text->end - text->begin);
	return 0;
}

static __always_inline __u64 output(struct siphash *state)
{
	for (int i = 0; i < 4; i++)
		siphash_round(state);
	return state->v0 ^ state->v1 ^ state->v2 ^ state->v3;
}

__noinline int siphash_end(struct siphash *state)
{
	__u64 first;

	if (!state)
		return 0;
	state->v2 ^= 0xee;
	first = output(state);
	state->v1 ^= 0xdd;
	state->v1 = output(state);
	state->v0 = first;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
