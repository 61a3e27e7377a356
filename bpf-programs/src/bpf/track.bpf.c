// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * track.bpf.c - who is governed, and the life of governed processes.
 *
 * A task gets its label when it enters a governed cgroup or is enrolled, passes it to its children before they
 * run, and never loses it. Also the command line rules: at sched_process_exec the arguments are final and not one
 * instruction has run, so a denied command is killed before it begins, on every back end.
 */
#include "decide.h"
#include "hold.h"
#include "log.h"
#include "record.h"

#define ARGV "argv:"
#define ARGV_LEN (sizeof(ARGV) - 1)
#define SIGKILL 9
#define CLONE_THREAD 0x10000
#define MAX_CGROUP_DEPTH 16

/* The agent of the nearest governed cgroup at or above this one. */
static __always_inline struct label *label_of_cgroup(struct cgroup *cgroup)
{
	for (int i = 0; i < MAX_CGROUP_DEPTH && cgroup; i++) {
		__u64 id = cgroup->kn->id;
		struct label *label = bpf_map_lookup_elem(&cgroup_label, &id);
		struct cgroup_subsys_state *parent;

		if (label)
			return label;
		parent = cgroup->self.parent;
		if (!parent)
			break;
		cgroup = parent->cgroup;
	}
	return 0;
}

/* 1 if the task carries the label now, or carried one before: the first label stays. */
static __always_inline bool set_label(struct task_struct *task, struct label *label)
{
	struct label copy = *label;
	struct label *known = bpf_task_storage_get(&task_label, task, 0, 0);

	if (known) {
		if (!agent_of(known)) /* of an agent that was released */
			*known = copy;
		return true;
	}
	if (bpf_task_storage_get(&task_label, task, &copy, BPF_LOCAL_STORAGE_GET_F_CREATE)) {
		developer_log(LOG_INFO, "a task is governed: agent in slot ", copy.slot, ", serial 0x", copy.serial);
		return true;
	}
	developer_log(LOG_ERROR, "no memory for a label: agent in slot ", copy.slot, ", serial 0x", copy.serial);
	count(COUNT_NO_MEMORY);
	return false;
}

/* A child that could not be labelled must not exist. */
SEC("lsm/task_alloc")
int BPF_PROG(on_task_alloc, struct task_struct *task, unsigned long flags)
{
	struct label *label = label_of(bpf_get_current_task_btf());

	if (!label || !agent_of(label))
		return 0;
	return set_label(task, label) ? 0 : -EPERM;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_attach, struct cgroup *target, const char *path, struct task_struct *task)
{
	struct label *label = label_of_cgroup(target);

	if (label)
		set_label(task, label);
	return 0;
}

static __always_inline void record_fork(struct task_struct *child, const struct label *label)
{
	struct decision nothing = {};
	struct fork_event *record = reserve_record(struct fork_event);

	if (!record)
		return;
	fill_head(&record->head, sizeof(*record), EVENT_FORK, CALL_FORK, label, &nothing);
	record->child_start_ns = child->start_boottime;
	record->child_tgid = child->tgid;
	record->pad = 0;
	bpf_ringbuf_submit(record, 0);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct label *label = label_of(parent);

	if (label && agent_of(label)) {
		set_label(child, label); /* done by task_alloc where LSM programs run */
		if (label->slot != CANARY_SLOT && child->tgid != parent->tgid)
			record_fork(child, label);
		return 0;
	}
	label = label_of_cgroup(child->cgroups->dfl_cgrp); /* CLONE_INTO_CGROUP */
	if (label)
		set_label(child, label);
	return 0;
}

/* "argv:" and the arguments; the automaton takes the NUL between two of them for a space. */
static __always_inline __u32 read_command(struct mm_struct *mm, struct path_buffer *out, __u32 *whole)
{
	unsigned long start = mm->arg_start;
	__u32 size = mm->arg_end - start;
	__u32 len = size;

	if (len > MAX_ARGV - 8)
		len = MAX_ARGV - 8;
	barrier_var(len);
	*whole = size;
	out->begin = 0;
	out->end = 0;
	__builtin_memcpy(out->text, ARGV, ARGV_LEN);
	if (len == 0 || bpf_probe_read_user(&out->text[ARGV_LEN], len & (MAX_ARGV - 1), (void *)start))
		return 0;
	out->end = ARGV_LEN + len - 1; /* without the last NUL */
	return len - 1;
}

__noinline int record_exec(struct decision *decision, __u32 argv_len, __u32 argv_size)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);
	struct path_buffer *path = bpf_task_storage_get(&task_path, task, 0, 0);
	struct path_buffer *cwd = bpf_task_storage_get(&task_other_path, task, 0, 0);
	struct path_buffer *argv = bpf_task_storage_get(&task_host_path, task, 0, 0);
	struct exec_event *record;
	struct bpf_dynptr ring;
	__u32 path_len, cwd_len, size;

	if (!decision || !label || !path || !cwd || !argv)
		return 0;
	path_len = path->end > path->begin ? path->end - path->begin : 0;
	cwd_len = cwd->end > cwd->begin ? cwd->end - cwd->begin : 0;
	if (path_len > MAX_PATH || cwd_len > MAX_PATH || argv_len > MAX_ARGV)
		return 0;
	size = sizeof(struct exec_event) + path_len + cwd_len + argv_len;
	if (bpf_ringbuf_reserve_dynptr(&events, size, 0, &ring)) {
		count(COUNT_LOST);
		goto done;
	}
	record = bpf_dynptr_data(&ring, 0, sizeof(*record));
	if (record) {
		struct file *exe = task->mm->exe_file;

		fill_head(&record->head, size, EVENT_EXEC, CALL_EXEC, label, decision);
		record->inode = exe->f_inode->i_ino;
		record->device = exe->f_inode->i_sb->s_dev;
		record->path_len = path_len;
		record->cwd_len = cwd_len;
		record->argv_len = argv_len;
		record->argv_size = argv_size;
		record->pad = 0;
	}
	append_text(&ring, sizeof(struct exec_event), path, path->begin, path_len);
	append_text(&ring, sizeof(struct exec_event) + path_len, cwd, cwd->begin, cwd_len);
	append_text(&ring, sizeof(struct exec_event) + path_len + cwd_len, argv, ARGV_LEN, argv_len);
done:
	bpf_ringbuf_submit_dynptr(&ring, 0);
	return 0;
}

/* Read as numbers: a function that is verified by itself takes no pointers of the kernel. */
static __always_inline void path_of_exec(struct task_struct *task, struct path_buffer *path, struct path_buffer *cwd)
{
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	__u64 dentry = (__u64)BPF_CORE_READ(exe, f_path.dentry), mount = (__u64)BPF_CORE_READ(exe, f_path.mnt);

	path->begin = path->end = cwd->begin = cwd->end = 0;
	resolve_path(dentry, mount, ANY_NAMESPACE, path);
	dentry = (__u64)BPF_CORE_READ(task, fs, pwd.dentry);
	mount = (__u64)BPF_CORE_READ(task, fs, pwd.mnt);
	resolve_path(dentry, mount, ANY_NAMESPACE, cwd);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct decision decision = { .reason = REASON_RULE, .op = PATH_COMMAND };
	struct path_buffer *path, *cwd, *argv;
	struct label *label = label_of(bpf_get_current_task_btf());
	__u32 row, argv_len, argv_size = 0;

	if (!label) {
		label = label_of_cgroup(task->cgroups->dfl_cgrp);
		if (!label || !set_label(bpf_get_current_task_btf(), label))
			return 0;
	}
	if (!agent_of(label) || label->slot == CANARY_SLOT)
		return 0;
	task = bpf_get_current_task_btf();
	path = bpf_task_storage_get(&task_path, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	cwd = bpf_task_storage_get(&task_other_path, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	argv = bpf_task_storage_get(&task_host_path, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!path || !cwd || !argv) {
		decision.reason = REASON_NO_MEMORY;
		count(COUNT_NO_MEMORY);
		conclude(&decision, label, 1);
		if (decision.enforced)
			bpf_send_signal(SIGKILL);
		return 0;
	}
	argv_len = read_command(task->mm, argv, &argv_size);
	row = walk_rules(label->slot, argv);
	if (row)
		decision.answer = rule_word(row + PATH_COMMAND);
	else
		decision.reason = REASON_NO_RULES;
	conclude(&decision, label, 1);
	if (decision.enforced)
		bpf_send_signal(SIGKILL);
	path_of_exec(task, path, cwd);
	record_exec(&decision, argv_len, argv_size);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct label *label = label_of(bpf_get_current_task_btf());
	struct decision nothing = {};
	struct exit_event *record;
	int code;

	if (!label)
		return 0;
	withdraw_holds();
	if (!agent_of(label) || label->slot == CANARY_SLOT)
		return 0;
	if (task->signal->live.counter != 0)
		return 0; /* other threads of the process go on */
	code = task->exit_code;
	record = reserve_record(struct exit_event);
	if (!record)
		return 0;
	fill_head(&record->head, sizeof(*record), EVENT_EXIT, CALL_EXIT, label, &nothing);
	record->code = code >> 8 & 0xff;
	record->signal = code & 0x7f;
	bpf_ringbuf_submit(record, 0);
	return 0;
}

struct labelled_task {
	__u32 tgid;
	__u32 tid;
	struct label label;
};
struct labelled_task labelled_task_anchor; /* keeps the type in BTF for agentd */

/* Labels tasks that were running before they were governed, and lists those that are. Run by agentd. */
SEC("iter/task")
int label_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct labelled_task found = {};
	struct label *label, *wanted;

	if (!task)
		return 0;
	found.tgid = task->tgid;
	found.tid = task->pid;
	wanted = bpf_map_lookup_elem(&enroll_label, &found.tgid);
	if (!wanted)
		wanted = label_of_cgroup(task->cgroups->dfl_cgrp);
	if (wanted)
		set_label(task, wanted);
	label = bpf_task_storage_get(&task_label, task, 0, 0);
	if (!label || !agent_of(label))
		return 0;
	found.label = *label;
	bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
