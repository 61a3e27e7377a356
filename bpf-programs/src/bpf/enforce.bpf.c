// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * enforce.bpf.c - from a request to its effect and its record: the one place that knows modes and back ends.
 *
 * Each function decides first and records afterwards; the record can be lost, the decision cannot.
 */
#include "bytes.h"
#include "command.h"
#include "decide.h"
#include "hold.h"
#include "log.h"
#include "record.h"

#define SB_NOUSER (1UL << 31)

const volatile __u32 can_block = 1;
const volatile __u32 on_security_functions = 0;

/* Both rows of an object: as the task sees it, and where the host sees it if that is another path. */
static __always_inline void decide_text(__u32 slot, __u32 op, __u32 also, struct path_buffer *text, __u32 half,
					struct decision *decision)
{
	__u32 row = walk_rules(slot, text);
	__u32 answer;

	if (!row) {
		decision->reason = REASON_NO_RULES;
		return;
	}
	row += half;
	answer = rule_word(row + (op & 15));
	if (stricter(decision->answer, answer) != decision->answer) {
		decision->answer = answer;
		decision->op = op;
		decision->reason = half ? REASON_ELSEWHERE : REASON_RULE;
	}
	if (also == NO_OP)
		return;
	answer = rule_word(row + (also & 15));
	if (stricter(decision->answer, answer) != decision->answer) {
		decision->answer = answer;
		decision->op = also;
		decision->reason = half ? REASON_ELSEWHERE : REASON_RULE;
	}
}

static __always_inline bool could_tell(const struct decision *decision)
{
	return decision->reason == REASON_RULE || decision->reason == REASON_ELSEWHERE;
}

/* The mount to look through when a hook gives only a dentry: the task's root or working directory if the file
 * system is the same, else none. */
static __always_inline __u64 mount_for(__u64 dentry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 file_system = (__u64)BPF_CORE_READ((struct dentry *)dentry, d_sb);
	struct vfsmount *pwd = task->fs->pwd.mnt;
	struct vfsmount *root = task->fs->root.mnt;

	if ((__u64)pwd->mnt_sb == file_system)
		return (__u64)pwd;
	if ((__u64)root->mnt_sb == file_system)
		return (__u64)root;
	return 0;
}

/* "@" and the name of an abstract unix address. */
static __always_inline void copy_abstract(const struct path_request *request, struct path_buffer *out)
{
	__u32 len = request->text_len & 127;

	out->text[0] = '@';
	bpf_probe_read_kernel(&out->text[1], len, (void *)request->text);
	out->begin = 0;
	out->end = 1 + len;
}

__noinline int decide_object(__u32 slot, struct path_request *request, struct path_buffer *text,
			     struct decision *decision)
{
	int status;

	if (!request || !text || !decision)
		return 0;
	if (request->flags & IS_TEXT) {
		copy_abstract(request, text);
		status = RESOLVED;
	} else if (request->flags & IS_NAME)
		status = resolve_name(request->dentry, request->mount, request->text, text);
	else if (request->mount)
		status = resolve_path(request->dentry, request->mount, request->flags, text);
	else
		status = resolve_host_path(request->dentry, text);

	switch (status) {
	case RESOLVED:
		decide_text(slot, request->op, request->also, text, 0, decision);
		return 0;
	case RESOLVED_KERNEL_INTERNAL:
		return 0;
	case UNRESOLVED_TOO_LONG:
		decision->reason = REASON_TOO_LONG;
		break;
	default:
		decision->reason = REASON_UNRESOLVED;
	}
	count(COUNT_UNRESOLVED);
	developer_log(LOG_WARN, "no path: resolution ", status, " in call 0x", request->call);
	return 0;
}

/* In a file system that is mounted nowhere: pipes, sockets, memfd, anonymous inodes. */
static __always_inline bool is_nowhere(__u64 dentry)
{
	return BPF_CORE_READ((struct dentry *)dentry, d_sb, s_flags) & SB_NOUSER;
}

/* The same object by its path on the host, if that is another one; only denials count there. */
__noinline int decide_elsewhere(__u32 slot, struct path_request *request, struct decision *decision)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct path_buffer *text;

	if (!request || !decision || !could_tell(decision) || !request->mount || request->flags & IS_NAME ||
	    is_host_mount(request->mount) || is_nowhere(request->dentry))
		return 0;
	text = bpf_task_storage_get(&task_host_path, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!text) {
		decision->reason = REASON_NO_MEMORY;
		count(COUNT_NO_MEMORY);
		return 0;
	}
	if (resolve_host_path(request->dentry, text) == RESOLVED)
		decide_text(slot, request->op, request->also, text, NR_PATH_OPS, decision);
	else
		decision->reason = REASON_UNRESOLVED;
	return 0;
}

/* Returns 1 if the record is in the ring. */
__noinline int record_path(struct label *label, struct path_request *request, struct path_buffer *path,
			   struct decision *decision)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct path_buffer *other = 0;
	struct bpf_dynptr ring;
	struct file_event *record;
	__u32 path_len, other_len, size, recorded = 0;

	if (!label || !request || !decision)
		return 0;
	if (decision->reason == REASON_ELSEWHERE)
		other = bpf_task_storage_get(&task_host_path, task, 0, 0);
	else if (request->other_dentry)
		other = bpf_task_storage_get(&task_other_path, task, 0, 0);
	path_len = text_length(path);
	other_len = text_length(other);
	size = sizeof(struct file_event) + path_len + other_len;
	if (decision->recording == RECORD_HELD) {
		if (bpf_ringbuf_reserve_dynptr(&held_events, size, 0, &ring))
			goto done;
	} else if (bpf_ringbuf_reserve_dynptr(&events, size, 0, &ring)) {
		count(COUNT_LOST);
		goto done;
	}
	record = bpf_dynptr_data(&ring, 0, sizeof(*record));
	if (record) {
		struct dentry *dentry = (void *)request->dentry;
		struct inode *inode = BPF_CORE_READ(dentry, d_inode);

		fill_head(&record->head, size, EVENT_FILE, request->call, label, decision);
		record->id = request->file_id;
		record->inode = BPF_CORE_READ(inode, i_ino);
		record->device = BPF_CORE_READ(dentry, d_sb, s_dev);
		record->mode = request->mode ?: BPF_CORE_READ(inode, i_mode);
		record->flags = request->open_flags;
		record->path_len = path_len;
		record->other_len = other_len;
		record->pad = 0;
		recorded = 1;
	}
	if (path)
		append_text(&ring, sizeof(struct file_event), path);
	if (other)
		append_text(&ring, sizeof(struct file_event) + path_len, other);
done:
	bpf_ringbuf_submit_dynptr(&ring, 0);
	return recorded;
}

/* An executable that is granted by hash must be the very file that agentd hashed: same inode, same ctime. */
static __always_inline bool is_pinned_file(__u32 ruleset, __u64 dentry)
{
	struct inode *inode = BPF_CORE_READ((struct dentry *)dentry, d_inode);
	struct exec_file_key key = { .ruleset = ruleset };
	struct exec_file_value *known;
	__s64 sec;
	__u32 nsec;

	key.device = BPF_CORE_READ(inode, i_sb, s_dev);
	key.inode = BPF_CORE_READ(inode, i_ino);
	known = bpf_map_lookup_elem(&exec_files, &key);
	inode_changed(inode, &sec, &nsec);
	return known && known->changed_sec == sec && known->changed_nsec == nsec;
}

/* The second name of a rename or link. */
static __always_inline void decide_other(__u32 slot, struct path_request *request, struct decision *decision)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct path_buffer *text =
		bpf_task_storage_get(&task_other_path, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct path_request other = {
		.op = request->other_op,
		.also = NO_OP,
		.flags = request->flags,
		.dentry = request->other_dentry,
		.mount = request->other_mount,
	};

	if (!text) {
		decision->reason = REASON_NO_MEMORY;
		count(COUNT_NO_MEMORY);
		return;
	}
	decide_object(slot, &other, text, decision);
	decide_elsewhere(slot, &other, decision);
}

__noinline int enforce_path(struct path_request *request)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label = label_of(task);
	struct decision decision = { .reason = REASON_RULE };
	struct path_buffer *text;
	struct agent *agent;

	if (!request || !label)
		return 0;
	decision.op = request->op;
	if (!request->mount && request->dentry)
		request->mount = mount_for(request->dentry);
	text = bpf_task_storage_get(&task_path, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (text) {
		decide_object(label->slot, request, text, &decision);
		decide_elsewhere(label->slot, request, &decision);
		if (request->other_dentry && could_tell(&decision))
			decide_other(label->slot, request, &decision);
		agent = agent_of(label);
		if (decision.answer & ANSWER_PINNED && (!agent || !is_pinned_file(agent->ruleset, request->dentry)))
			decision.reason = REASON_IDENTITY;
		if (request->flags & HAS_ARGV && decision.reason != REASON_ELSEWHERE && can_block && agent &&
		    agent->mode == MODE_ENFORCE)
			decide_command(label->slot, request, &decision);
	} else {
		decision.reason = REASON_NO_MEMORY;
		count(COUNT_NO_MEMORY);
	}
	conclude(&decision, label, can_block);
	developer_log(LOG_DEBUG, "path: call ", request->call, " answer 0x", decision.answer);
	if (label->slot == CANARY_SLOT)
		return decision.effect;
	if (decision.verdict == VERDICT_HOLD && decision.enforced) {
		if (request->call == CALL_MMAP && request->flags & QUIET) {
			decision.effect = EFFECT_GO_ON; /* its open was held */
			decision.recording = RECORD_NOTHING;
		} else {
			ask_path(label, request);
			hold_request(label, &decision);
		}
	}
	if (request->flags & HAS_FILE && decision.effect == EFFECT_GO_ON)
		follow_file(request, 0, label);
	if (decision.recording != RECORD_NOTHING && (!(request->flags & QUIET) || decision.verdict != VERDICT_ALLOW)) {
		if (request->flags & HAS_ARGV && request->argv_size && decision.verdict >= VERDICT_HOLD) {
			resolve_directory();
			request->recorded = record_command(label, request, &decision);
		} else {
			request->recorded = record_path(label, request, text, &decision);
		}
		if (decision.recording == RECORD_HELD && request->recorded)
			hold_is_told(decision.hold);
		if (decision.verdict != VERDICT_ALLOW || (decision.hold && !decision.stands))
			request->recorded = RECORDED_NOT;
		else if (decision.stands && request->recorded)
			request->recorded = RECORDED_BY_ANSWER;
	}
	return decision.effect;
}

__noinline int enforce_address(struct address_request *request)
{
	struct label *label = label_of(bpf_get_current_task_btf());
	struct address_answer answer = {};
	struct decision decision = {};
	struct address_event *record;

	if (!request || !label)
		return 0;
	decide_address(label->slot, request, &answer);
	decision.op = request->op;
	decision.answer = answer.answer;
	decision.reason = answer.reason;
	conclude(&decision, label, can_block || request->flags & BLOCKS);
	developer_log(LOG_DEBUG, "address: call ", request->call, " answer 0x", decision.answer);
	if (label->slot == CANARY_SLOT)
		return decision.effect;
	if (decision.verdict == VERDICT_HOLD && decision.enforced) {
		ask_address(label, request);
		hold_request(label, &decision);
	}
	if (decision.recording == RECORD_NOTHING || (request->flags & QUIET && decision.verdict == VERDICT_ALLOW))
		return decision.effect;
	if (decision.recording == RECORD_HELD)
		record = bpf_ringbuf_reserve(&held_events, sizeof(*record), 0);
	else
		record = reserve_record(struct address_event);
	if (record) {
		fill_head(&record->head, sizeof(*record), EVENT_ADDRESS, request->call, label, &decision);
		__builtin_memcpy(record->address, request->address, sizeof(record->address));
		__builtin_memcpy(record->local, request->local, sizeof(record->local));
		record->port = request->port;
		record->local_port = request->local_port;
		record->family = request->family;
		record->protocol = request->protocol;
		record->size = request->size;
		bpf_ringbuf_submit(record, 0);
		if (decision.recording == RECORD_HELD)
			hold_is_told(decision.hold);
	}
	return decision.effect;
}

__noinline int enforce_class(struct class_request *request)
{
	struct label *label = label_of(bpf_get_current_task_btf());
	struct decision decision = {};
	struct class_event *record;
	struct agent *agent;

	if (!request || !label)
		return 0;
	agent = agent_of(label);
	if (!agent)
		return 0;
	decision.op = request->op;
	decision.reason = request->reason;
	if (request->op < NR_CLASS_OPS)
		decision.answer = agent->class_answer[request->op];
	else if (request->op - NR_CLASS_OPS < NR_CAPABILITIES)
		decision.answer = agent->capability_answer[request->op - NR_CLASS_OPS];
	else
		decision.reason = REASON_NO_RULES;
	conclude(&decision, label, can_block || request->flags & BLOCKS);
	if (decision.verdict == VERDICT_HOLD && decision.enforced)
		refuse(&decision, REASON_CANNOT_HOLD);
	developer_log(LOG_DEBUG, "class: call ", request->call, " answer 0x", decision.answer);
	if (label->slot == CANARY_SLOT || (request->flags & QUIET && decision.verdict == VERDICT_ALLOW) ||
	    request->flags & SILENT)
		return decision.effect;
	record = reserve_record(struct class_event);
	if (record) {
		fill_head(&record->head, sizeof(*record), EVENT_CLASS, request->call, label, &decision);
		record->class_op = request->op < NR_CLASS_OPS ? request->op : NR_CLASS_OPS;
		if (request->op >= NR_CLASS_OPS)
			record->head.op = request->op - NR_CLASS_OPS;
		__builtin_memcpy(record->arg, request->arg, sizeof(request->arg));
		record->arg[4] = 0;
		bpf_ringbuf_submit(record, 0);
	}
	return decision.effect;
}

char LICENSE[] SEC("license") = "GPL";
