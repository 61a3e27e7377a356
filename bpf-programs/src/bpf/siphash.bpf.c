// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* siphash.bpf.c - the parts of siphash.h that are functions. */
#include "siphash.h"

#define WORD 8

__noinline int siphash_word(struct siphash *state, __u64 word)
{
	if (!state)
		return 0;
	state->v3 ^= word;
	siphash_round(state);
	siphash_round(state);
	state->v0 ^= word;
	return 0;
}

/* All of the text, and its length. */
__noinline int siphash_text(struct siphash *state, struct path_buffer *text)
{
	__u32 begin, len, i;
	__u64 word;

	if (!state || !text)
		return 0;
	begin = text->begin;
	len = text->end - begin;
	for (i = 0; i < MAX_PATH / WORD && (i + 1) * WORD <= len; i++) {
		bpf_probe_read_kernel(&word, WORD, &text->text[(begin + i * WORD) & (MAX_PATH - 1)]);
		siphash_word(state, word);
	}
	word = 0;
	bpf_probe_read_kernel(&word, len & (WORD - 1), &text->text[(begin + i * WORD) & (MAX_PATH - 1)]);
	siphash_word(state, word);
	siphash_word(state, len);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
