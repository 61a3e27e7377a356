// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * exec.bpf.c - what may become code: execve and its interpreters, executable mappings, raised privilege.
 *
 * One question for all three ways in (execve, mmap, mprotect), so that a loader started by hand is no way around
 * the rules. Not covered: what an interpreter reads as its program, which is a file like any other.
 */
#include "command.h"
#include "decide.h"

#define PROT_READ 1
#define PROT_EXEC 4
#define READ_IMPLIES_EXEC 0x0400000
#define SIGKILL 9
#define VM_EXEC 4
#define MNT_INTERNAL_NS ((__u64)-22)

/* memfd, deleted, O_TMPFILE: there is no name that a rule could speak about. */
static __always_inline bool nameless(struct file *file)
{
	__u64 vfsmount = (__u64)file->f_path.mnt;
	struct mount *mount = (void *)(vfsmount - bpf_core_field_offset(struct mount, mnt));

	return file->f_inode->i_nlink == 0 ||
	       (__u64)BPF_CORE_READ(mount, mnt_ns) == MNT_INTERNAL_NS;
}

static __always_inline int enforce_code(struct file *file, __u32 call, __u32 op, __u32 flags, __u32 argc)
{
	struct class_request without_name = { .call = call, .op = CLASS_EXEC_MEMFD };
	struct path_request request = { .call = call, .op = op, .also = NO_OP, .flags = flags, .argc = argc };

	if (nameless(file))
		return outcome(enforce_class(&without_name));
	request.dentry = (__u64)file->f_path.dentry;
	request.mount = (__u64)file->f_path.mnt;
	request.mode = file->f_inode->i_mode;
	return outcome(enforce_path(&request));
}

static __always_inline int enforce_anonymous(__u32 call)
{
	struct class_request request = { .call = call, .op = CLASS_EXEC_ANONYMOUS, .flags = QUIET };

	return outcome(enforce_class(&request));
}

/* Once for the file, with the command line, and once for each interpreter of a script. */
SEC("lsm/bprm_check_security")
int BPF_PROG(on_bprm_check, struct linux_binprm *bprm)
{
	if (!governed())
		return 0;
	if (interpreted(bprm))
		return enforce_code(bprm->file, CALL_EXEC, PATH_EXEC, 0, 0);
	return enforce_code(bprm->file, CALL_EXEC, PATH_EXEC, HAS_ARGV, bprm->argc);
}

/* What an execve gives beyond what the task has. False if nothing. */
static __always_inline bool raises_privilege(struct linux_binprm *bprm, struct class_request *request)
{
	const struct cred *old = bpf_get_current_task_btf()->cred;
	const struct cred *new = bprm->cred;

	request->arg[0] = old->euid.val;
	request->arg[1] = new->euid.val;
	request->arg[2] = old->egid.val;
	request->arg[3] = new->egid.val;
	return request->arg[0] != request->arg[1] || request->arg[2] != request->arg[3] ||
	       capabilities(&new->cap_permitted) & ~capabilities(&old->cap_permitted);
}

/* setuid, setgid or file capabilities: the capability module ran before this. */
SEC("lsm/bprm_creds_from_file")
int BPF_PROG(on_bprm_creds, struct linux_binprm *bprm)
{
	struct class_request request = { .call = CALL_EXEC, .op = CLASS_EXEC_PRIVILEGED };

	if (!governed() || !raises_privilege(bprm, &request))
		return 0;
	return outcome(enforce_class(&request));
}

/* On security_*() functions the program above runs before file capabilities are known. Here they are, and nothing
 * can fail any more: a denied program is killed before its first instruction. */
SEC("lsm/bprm_committing_creds")
int BPF_PROG(on_commit_creds, struct linux_binprm *bprm)
{
	struct class_request request = { .call = CALL_EXEC, .op = CLASS_EXEC_PRIVILEGED, .flags = QUIET };

	if (!governed() || !raises_privilege(bprm, &request))
		return 0;
	if (enforce_class(&request))
		bpf_send_signal(SIGKILL);
	return 0;
}

SEC("lsm/mmap_file")
int BPF_PROG(on_executable_mmap, struct file *file)
{
	unsigned long prot = mmap_protection(ctx);

	/* What is read can be executed, too: the kernel says so only after security_mmap_file(). */
	if (prot & PROT_READ && bpf_get_current_task_btf()->personality & READ_IMPLIES_EXEC)
		prot |= PROT_EXEC;
	if (!(prot & PROT_EXEC) || !governed())
		return 0;
	if (!file)
		return enforce_anonymous(CALL_MMAP);
	return enforce_code(file, CALL_MMAP, PATH_MAP_EXEC, 0, 0);
}

/* A mapping that becomes executable. Private pages that were written to are no longer the file's. */
SEC("lsm/file_mprotect")
int BPF_PROG(on_mprotect, struct vm_area_struct *area, unsigned long requested, unsigned long prot)
{
	struct file *file;

	if (!(prot & PROT_EXEC) || !governed())
		return 0;
	if (area->vm_flags & VM_EXEC)
		return 0;
	file = area->vm_file;
	if (!file || area->anon_vma) {
		if (enforce_anonymous(CALL_MPROTECT))
			return -EPERM;
	}
	return file ? enforce_code(file, CALL_MPROTECT, PATH_MAP_EXEC, 0, 0) : 0;
}

char LICENSE[] SEC("license") = "GPL";
