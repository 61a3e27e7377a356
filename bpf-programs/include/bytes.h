/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * bytes.h - the bytes through open files. It knows files and sums, and no rule.
 */
#ifndef AGENTGUARD_BYTES_H
#define AGENTGUARD_BYTES_H

#include "hook.h"

/* Starts counting the bytes of the request's file, and sets its file_id: that of the open whose record stands for this
 * one, given as recorded_id, or a new one if that is 0. Returns 0. */
int follow_file(struct path_request *request, __u64 recorded_id, struct label *label);

/* The sums of a file that was opened under the rules, else 0. */
static __always_inline struct open_file *followed(struct file *file)
{
	__u64 key = (__u64)file;
	struct open_file *known = bpf_map_lookup_elem(&open_files, &key);

	return known && known->inode == (__u64)BPF_CORE_READ(file, f_inode) ? known : 0;
}

static __always_inline void add_bytes(struct file *file, long moved, bool written)
{
	struct open_file *known;

	if (moved <= 0)
		return;
	known = followed(file);
	if (!known)
		return;
	if (written)
		__sync_fetch_and_add(&known->written_bytes, moved);
	else
		__sync_fetch_and_add(&known->read_bytes, moved);
}

#endif
