/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * compat.h - every difference between kernels, each with what changed and when.
 */
#ifndef AGENTGUARD_COMPAT_H
#define AGENTGUARD_COMPAT_H

#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* ctime: a plain field until 6.5, renamed in 6.6 (13bc24457850), split in two in 6.11 (3aa63a569c64). Since 6.13
 * (multigrain timestamps) the upper bit of the nanoseconds says that somebody asked for them. */
static __always_inline void inode_changed(struct inode *inode, __s64 *sec, __u32 *nsec)
{
	struct inode___ctime_new *split = (void *)inode;
	struct inode___ctime_6_6 *renamed = (void *)inode;
	struct inode___ctime_old *old = (void *)inode;

	if (bpf_core_field_exists(split->i_ctime_sec)) {
		*sec = BPF_CORE_READ(split, i_ctime_sec);
		*nsec = BPF_CORE_READ(split, i_ctime_nsec) & 0x7fffffff;
	} else if (bpf_core_field_exists(renamed->__i_ctime)) {
		*sec = BPF_CORE_READ(renamed, __i_ctime.tv_sec);
		*nsec = BPF_CORE_READ(renamed, __i_ctime.tv_nsec);
	} else {
		*sec = BPF_CORE_READ(old, i_ctime.tv_sec);
		*nsec = BPF_CORE_READ(old, i_ctime.tv_nsec);
	}
}

/* Capability sets became one 64-bit number in 6.3 (f122a08b197d); before, two words in the same order. */
static __always_inline __u64 capabilities(const void *set)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), set);
	return value;
}

/* Whether anybody refers to a file. The count is f_count until 6.12; since 6.13 f_ref, below zero once the file is gone. */
static __always_inline bool is_open(struct file *file)
{
	struct file___counted *counted = (void *)file;
	struct file___referred *referred = (void *)file;

	if (bpf_core_field_exists(referred->f_ref))
		return BPF_CORE_READ(referred, f_ref.refcnt.counter) >= 0;
	return BPF_CORE_READ(counted, f_count.counter) > 0;
}

/* What a path is built from. */
struct component {
	struct dentry *parent;
	struct qstr name;
};

/* d_name follows d_parent in every kernel so far, so that one read is enough; if it moves, it takes two. */
static __always_inline long read_component(struct dentry *dentry, struct component *out)
{
	if (bpf_core_field_offset(struct dentry, d_name) == bpf_core_field_offset(struct dentry, d_parent) + 8)
		return bpf_core_read(out, sizeof(*out), &dentry->d_parent);
	return bpf_core_read(&out->parent, sizeof(out->parent), &dentry->d_parent) ?:
	       bpf_core_read(&out->name, sizeof(out->name), &dentry->d_name);
}

/* The hook mmap_file is told the requested and the final protection, security_mmap_file() only the requested
 * one. Set by agentd before the load: 1 if the programs are attached to security_*() functions. */
extern const volatile __u32 on_security_functions;

/* Both are read before one is chosen: a pointer into the context must not be computed. */
static __always_inline unsigned long argument_of(unsigned long hook, unsigned long function)
{
	barrier_var(hook);
	barrier_var(function);
	return on_security_functions ? function : hook;
}

#define mmap_protection(ctx) argument_of((ctx)[2], (ctx)[1])
#define mmap_flags(ctx) argument_of((ctx)[3], (ctx)[2])

#endif
