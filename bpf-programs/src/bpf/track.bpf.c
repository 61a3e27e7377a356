// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * track.bpf.c - who is governed, and the life of governed processes.
 *
 * A task gets its label when it enters a governed cgroup or is enrolled, passes it to its children before they
 * run, and never loses it.
 */
#include "command.h"
#include "hold.h"
#include "log.h"
#include "record.h"

#define SIGKILL 9
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

__noinline int adopt_label(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task->group_leader);

	return label && agent_of(label) && set_label(task, label);
}

/* A child that could not be labelled must not exist. */
SEC("lsm/task_alloc")
int BPF_PROG(on_task_alloc, struct task_struct *task, unsigned long flags)
{
	struct label *label;

	if (!governed())
		return 0;
	label = label_of(bpf_get_current_task_btf());
	if (!label)
		return 0;
	return set_label(task, label) ? 0 : -EPERM;
}

/* Cgroups of version 1 have ids and paths of their own, which can be the same. */
static __always_inline bool is_unified(struct cgroup *cgroup)
{
	return cgroup->root->hierarchy_id == 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_attach, struct cgroup *target, const char *path, struct task_struct *task)
{
	struct label *label = is_unified(target) ? label_of_cgroup(target) : 0;

	if (label)
		set_label(task, label);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *made, const char *path)
{
	struct cgroup_path place = {};
	struct label *label, copy;
	__u64 id;

	if (!is_unified(made))
		return 0;
	bpf_probe_read_kernel_str(place.path, sizeof(place.path), path);
	label = bpf_map_lookup_elem(&cgroup_place, &place);
	if (!label)
		return 0;
	copy = *label;
	id = made->kn->id;
	if (bpf_map_update_elem(&cgroup_label, &id, &copy, BPF_ANY)) {
		developer_log(LOG_ERROR, "no memory for a cgroup: agent in slot ", copy.slot, ", serial 0x", copy.serial);
		count(COUNT_NO_MEMORY);
	}
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *gone, const char *path)
{
	__u64 id = gone->kn->id;

	if (is_unified(gone))
		bpf_map_delete_elem(&cgroup_label, &id);
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
	struct label *label = governed() ? label_of(parent) : 0;

	if (label) {
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

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct label *label = label_of(bpf_get_current_task_btf());
	struct path_request request = { .call = CALL_EXEC, .op = PATH_COMMAND };
	struct file *program;

	if (!label) {
		label = label_of_cgroup(task->cgroups->dfl_cgrp);
		if (!label || !set_label(bpf_get_current_task_btf(), label))
			return 0;
	}
	if (!agent_of(label) || label->slot == CANARY_SLOT)
		return 0;
	program = task->mm->exe_file;
	request.dentry = (__u64)program->f_path.dentry;
	request.mount = (__u64)program->f_path.mnt;
	if (interpreted(bprm))
		request.flags = INTERPRETED;
	if (command_at_birth(&request))
		bpf_send_signal(SIGKILL);
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
