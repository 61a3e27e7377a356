// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * guard.bpf.c - the ways to more power: capabilities, credentials, namespaces, other processes, mounts, the kernel.
 *
 * Each is one answer per agent. What a task does to processes of its own agent is not asked; agentd's own process is
 * nobody's to touch, whatever the answer. Not covered: keyrings, System V IPC, perf events.
 */
#include "record.h"

#define CAP_OPT_NOAUDIT 2
#define PTRACE_MODE_NOAUDIT 4
#define TIOCSTI 0x5412
#define TIOCLINUX 0x541c
#define FIOSETOWN 0x8901
#define SIOCSPGRP 0x8902
#define F_SETOWN 8
#define F_SETOWN_EX 15
#define SIGIO 29
#define SI_FROM_KERNEL ((struct kernel_siginfo *)1) /* SEND_SIG_PRIV; SEND_SIG_NOINFO is 0 */

/* agentd that loaded this, as the host numbers it. */
const volatile __u32 agentd_tgid = 0;

static __always_inline int enforce(__u32 call, __u32 op, __u32 arg0, __u32 arg1, __u32 flags)
{
	struct class_request request = { .call = call, .op = op, .flags = flags, .arg = { arg0, arg1 } };

	return outcome(enforce_class(&request));
}

/* Governed root is only as strong as its spec says, in every user namespace. */
SEC("lsm/capable")
int BPF_PROG(on_capable, const struct cred *cred, void *namespace, int capability, unsigned int options)
{
	if (!governed())
		return 0;
	return enforce(CALL_CAPABILITY, NR_CLASS_OPS + (capability & 63), capability, 0,
		       options & CAP_OPT_NOAUDIT ? SILENT : QUIET);
}

static __always_inline bool same_agent(struct task_struct *target)
{
	struct label *own = label_of(bpf_get_current_task_btf());
	struct label *other = label_of(target);

	return own && other && own->slot == other->slot && own->serial == other->serial;
}

/* What a task does to another process. */
static __always_inline int enforce_on(struct task_struct *target, __u32 call, __u32 op, __u32 detail, __u32 flags)
{
	struct class_request request = { .call = call, .op = op, .flags = flags, .arg = { target->tgid, detail } };

	if ((__u32)target->tgid == agentd_tgid)
		request.reason = REASON_PROTECTED;
	return outcome(enforce_class(&request));
}

/* Also reading /proc/PID/{mem,environ,root,cwd,fd}, process_vm_writev and pidfd_getfd. */
SEC("lsm/ptrace_access_check")
int BPF_PROG(on_ptrace, struct task_struct *target, unsigned int mode)
{
	if (!governed() || same_agent(target))
		return 0;
	return enforce_on(target, CALL_PTRACE, CLASS_PTRACE, mode, mode & PTRACE_MODE_NOAUDIT ? SILENT : 0);
}

SEC("lsm/task_kill")
int BPF_PROG(on_kill, struct task_struct *target, struct kernel_siginfo *info, int signal)
{
	if (!governed() || same_agent(target) || info == SI_FROM_KERNEL)
		return 0;
	return enforce_on(target, CALL_SIGNAL, CLASS_SIGNAL, signal, 0);
}

/* A limit of zero ends a process as surely as a signal. */
SEC("lsm/task_setrlimit")
int BPF_PROG(on_setrlimit, struct task_struct *target, unsigned int resource)
{
	if (!governed() || same_agent(target))
		return 0;
	return enforce_on(target, CALL_SETRLIMIT, CLASS_SIGNAL, resource, 0);
}

/* Who owns a file is signalled by the kernel when something happens to it, with a signal that the agent chooses. A process
 * id in user memory may change after it was looked at, so it is nobody's: 0. */
static __always_inline int enforce_owner(__u32 call, __u32 pid, __u32 detail)
{
	struct class_request request = { .call = call, .op = CLASS_SIGNAL, .arg = { pid, detail } };

	if (pid == agentd_tgid)
		request.reason = REASON_PROTECTED;
	return outcome(enforce_class(&request));
}

SEC("lsm/file_fcntl")
int BPF_PROG(on_fcntl, struct file *file, unsigned int command, unsigned long arg)
{
	__u32 pid = arg;

	if ((command != F_SETOWN && command != F_SETOWN_EX) || !governed())
		return 0;
	if (command == F_SETOWN_EX)
		return enforce_owner(CALL_SIGNAL, 0, SIGIO);
	if (!pid || pid == (__u32)bpf_get_current_task_btf()->tgid)
		return 0; /* nobody, or itself */
	return enforce_owner(CALL_SIGNAL, pid, SIGIO);
}

/* Whoever made a process group or a file its owner: agentd is not signalled by it. The task that is current here is not
 * the one that asked for it. */
SEC("lsm/file_send_sigiotask")
int BPF_PROG(on_sigio, struct task_struct *target)
{
	return agentd_tgid && (__u32)target->tgid == agentd_tgid ? -EPERM : 0;
}

/* Typing into a terminal is speaking to whatever reads it next, the user's own shell for one. */
static __always_inline int enforce_ioctl(unsigned int command)
{
	bool types = command == TIOCSTI || command == TIOCLINUX;

	if ((!types && command != FIOSETOWN && command != SIOCSPGRP) || !governed())
		return 0;
	return types ? enforce(CALL_IOCTL, CLASS_PTRACE, 0, command, 0) : enforce_owner(CALL_IOCTL, 0, command);
}

SEC("lsm/file_ioctl")
int BPF_PROG(on_ioctl, struct file *file, unsigned int command)
{
	return enforce_ioctl(command);
}

/* Of a 32-bit system call, where the kernel has a hook of its own for these (6.8 and stable kernels since). */
SEC("?lsm/file_ioctl_compat")
int BPF_PROG(on_ioctl_compat, struct file *file, unsigned int command)
{
	return enforce_ioctl(command);
}

static __always_inline void record_credentials(const struct cred *new, const struct cred *old)
{
	struct decision nothing = {};
	struct label *label = label_of(bpf_get_current_task_btf());
	struct credentials_event *record;

	if (!label || label->slot == CANARY_SLOT)
		return;
	record = reserve_record(struct credentials_event);
	if (!record)
		return;
	fill_head(&record->head, sizeof(*record), EVENT_CREDENTIALS, CALL_SET_ID, label, &nothing);
	record->old_uid = old->euid.val;
	record->old_gid = old->egid.val;
	record->new_uid = new->euid.val;
	record->new_gid = new->egid.val;
	record->old_capabilities = capabilities(&old->cap_permitted);
	record->new_capabilities = capabilities(&new->cap_permitted);
	bpf_ringbuf_submit(record, 0);
}

static __always_inline bool held(__u32 id, __u32 real, __u32 effective, __u32 saved)
{
	return id == real || id == effective || id == saved;
}

SEC("lsm/task_fix_setuid")
int BPF_PROG(on_setuid, struct cred *new, const struct cred *old)
{
	__u32 real, effective, saved;

	if (!governed())
		return 0;
	real = old->uid.val;
	effective = old->euid.val;
	saved = old->suid.val;
	if (!held(new->euid.val, real, effective, saved) ||
	    !held(new->uid.val, real, effective, saved)) {
		if (enforce(CALL_SET_ID, CLASS_SET_ID, effective, new->euid.val, QUIET))
			return -EPERM;
	}
	record_credentials(new, old);
	return 0;
}

SEC("lsm/task_fix_setgid")
int BPF_PROG(on_setgid, struct cred *new, const struct cred *old)
{
	__u32 real, effective, saved;

	if (!governed())
		return 0;
	real = old->gid.val;
	effective = old->egid.val;
	saved = old->sgid.val;
	if (!held(new->egid.val, real, effective, saved) ||
	    !held(new->gid.val, real, effective, saved)) {
		if (enforce(CALL_SET_ID, CLASS_SET_ID, effective, new->egid.val, QUIET))
			return -EPERM;
	}
	record_credentials(new, old);
	return 0;
}

/* The kernel itself refuses what was not permitted before; here it is only written down. */
SEC("lsm/capset")
int BPF_PROG(on_capset, struct cred *new, const struct cred *old)
{
	if (governed())
		record_credentials(new, old);
	return 0;
}

SEC("lsm/userns_create")
int BPF_PROG(on_userns_create, const struct cred *cred)
{
	if (!governed())
		return 0;
	return enforce(CALL_NAMESPACE, CLASS_USER_NAMESPACE, 0, 0, 0);
}

SEC("lsm/sb_mount")
int BPF_PROG(on_mount, const char *device, const struct path *path)
{
	if (!governed())
		return 0;
	return enforce(CALL_MOUNT, CLASS_MOUNT, 0, 0, 0);
}

SEC("lsm/sb_umount")
int BPF_PROG(on_umount, struct vfsmount *mount, int flags)
{
	if (!governed())
		return 0;
	return enforce(CALL_MOUNT, CLASS_MOUNT, 1, 0, 0);
}

SEC("lsm/move_mount")
int BPF_PROG(on_move_mount, const struct path *from, const struct path *to)
{
	if (!governed())
		return 0;
	return enforce(CALL_MOUNT, CLASS_MOUNT, 2, 0, 0);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(on_pivot_root, const struct path *old, const struct path *new)
{
	if (!governed())
		return 0;
	return enforce(CALL_MOUNT, CLASS_MOUNT, 3, 0, 0);
}

SEC("lsm/path_chroot")
int BPF_PROG(on_chroot, const struct path *path)
{
	if (!governed())
		return 0;
	return enforce(CALL_CHROOT, CLASS_MOUNT, 4, 0, 0);
}

SEC("lsm/bpf")
int BPF_PROG(on_bpf, int command)
{
	if (!governed())
		return 0;
	return enforce(CALL_BPF, CLASS_KERNEL, command, 0, 0);
}

/* Also modules that the kernel loads by itself because of what the task did. */
SEC("lsm/kernel_module_request")
int BPF_PROG(on_module_request, char *name)
{
	if (!governed())
		return 0;
	return enforce(CALL_MODULE, CLASS_KERNEL, 0, 0, 0);
}

SEC("lsm/kernel_read_file")
int BPF_PROG(on_kernel_read_file, struct file *file, int id)
{
	if (!governed())
		return 0;
	return enforce(CALL_MODULE, CLASS_KERNEL, id, 0, 0);
}

SEC("lsm/kernel_load_data")
int BPF_PROG(on_kernel_load_data, int id)
{
	if (!governed())
		return 0;
	return enforce(CALL_MODULE, CLASS_KERNEL, id, 1, 0);
}

/* Ordinary rings run the ordinary hooks in a worker that inherits the label. These two would not. */
SEC("lsm/uring_sqpoll")
int BPF_PROG(on_uring_sqpoll)
{
	if (!governed())
		return 0;
	return enforce(CALL_IO_URING, CLASS_IO_URING, 0, 0, 0);
}

SEC("lsm/uring_override_creds")
int BPF_PROG(on_uring_override, const struct cred *new)
{
	if (!governed())
		return 0;
	return enforce(CALL_IO_URING, CLASS_IO_URING, 1, 0, 0);
}

char LICENSE[] SEC("license") = "GPL";
