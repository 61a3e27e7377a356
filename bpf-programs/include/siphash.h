/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * siphash.h - SipHash-2-4 with 128 bits over words: a name for something long, that nobody without the key can choose.
 */
#ifndef AGENTGUARD_SIPHASH_H
#define AGENTGUARD_SIPHASH_H

#include "maps.h"

#define ROTATE(word, bits) ((word) << (bits) | (word) >> (64 - (bits)))

static __always_inline void siphash_round(struct siphash *state)
{
	state->v0 += state->v1;
	state->v1 = ROTATE(state->v1, 13) ^ state->v0;
	state->v0 = ROTATE(state->v0, 32);
	state->v2 += state->v3;
	state->v3 = ROTATE(state->v3, 16) ^ state->v2;
	state->v0 += state->v3;
	state->v3 = ROTATE(state->v3, 21) ^ state->v0;
	state->v2 += state->v1;
	state->v1 = ROTATE(state->v1, 17) ^ state->v2;
	state->v2 = ROTATE(state->v2, 32);
}

/* False without a key. */
static __always_inline bool siphash_begin(struct siphash *state)
{
	__u32 zero = 0;
	struct hash_key *key = bpf_map_lookup_elem(&hash_key, &zero);

	if (!key || !(key->word[0] | key->word[1]))
		return false;
	state->v0 = key->word[0] ^ 0x736f6d6570736575ULL;
	state->v1 = key->word[1] ^ 0x646f72616e646f6dULL ^ 0xee;
	state->v2 = key->word[0] ^ 0x6c7967656e657261ULL;
	state->v3 = key->word[1] ^ 0x7465646279746573ULL;
	return true;
}

/* Not inlined: there are many calls, and the stack is small. Return 0. */
int siphash_word(struct siphash *state, __u64 word);
int siphash_text(struct siphash *state, struct path_buffer *text);
/* The hash is in v0 and v1 then. */
int siphash_end(struct siphash *state);

#endif
