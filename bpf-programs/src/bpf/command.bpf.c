// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * command.bpf.c - command lines, decided twice.
 *
 * First as an execve begins, when it can still fail or wait: the arguments are read from the caller's memory, where
 * another thread may change them. Then at sched_process_exec, where they are final and not one instruction has run:
 * a program whose command line is denied, or is not the one that was answered, is killed before it begins, on every
 * back end.
 */
#include "command.h"
#include "decide.h"
#include "hold.h"
#include "record.h"

#define ARGV_END (ARGV_LEN + MAX_ARGV - 8) /* of the text; what is longer is cut */
#define CHUNK 2048

_Static_assert(ARGV_END < MAX_PATH && CHUNK <= PATH_SLACK, "a chunk that begins before the end stays inside the buffer");

/* Where the next argument goes and how many there are is in text->end and text->begin: were they here, newer verifiers
 * would follow each of their values. */
struct argument_walk {
	struct path_buffer *text;
	__u64 list;   /* the next pointer */
	__u64 word;   /* what is left of the present argument, 0 between two */
	__u32 tail;   /* where the second argument begins */
	__u32 failed;
	__u32 compat;
};

static long read_argument(__u32 index, struct argument_walk *walk)
{
	struct path_buffer *text = walk->text;
	__u32 at = text->end, width = walk->compat ? 4 : 8;
	long size;

	if (!walk->word) {
		if (bpf_probe_read_user(&walk->word, width, (void *)walk->list)) {
			walk->failed = 1;
			return 1;
		}
		if (!walk->word)
			return 1;
		walk->list += width;
	}
	size = bpf_probe_read_user_str(&text->text[at & (MAX_PATH - 1)], CHUNK, (void *)walk->word);
	if (size <= 0) {
		walk->failed = 1;
		return 1;
	}
	if (size == CHUNK) { /* its last byte is a NUL that is not the argument's */
		text->end = at + CHUNK - 1;
		walk->word += CHUNK - 1;
	} else {
		text->end = at + size;
		walk->word = 0;
		if (++text->begin == 1)
			walk->tail = text->end;
	}
	return text->end > ARGV_END;
}

/* As the caller gives them. The automaton takes the NUL between two arguments for a space. */
static __always_inline void read_arguments(struct path_request *request, struct path_buffer *text)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct argument_walk walk = { .text = text, .tail = ARGV_LEN };
	long number = regs->orig_ax;
	__u32 at, count;

	walk.compat = task->thread_info.status & TS_COMPAT;
	if (walk.compat)
		walk.list = number == 11 ? (__u32)regs->cx : (__u32)regs->dx; /* execve, execveat */
	else
		walk.list = number == 59 ? regs->si : regs->dx;
	text->begin = 0;
	text->end = ARGV_LEN;
	__builtin_memcpy(text->text, ARGV, ARGV_LEN);
	request->argv_size = 0;
	bpf_loop(MAX_ARGV, read_argument, &walk, 0);
	at = text->end;
	count = text->begin;
	text->begin = 0;
	text->end = 0;
	if (walk.failed)
		return;
	request->argv_size = at - ARGV_LEN;
	request->argv_tail = walk.tail;
	if (at > ARGV_END)
		at = ARGV_END;
	else if (count != request->argc)
		request->argv_size = 0; /* another thread was at it */
	text->end = at > ARGV_LEN ? at - 1 : ARGV_LEN; /* without the last NUL */
}

static __always_inline void decide_text(__u32 slot, struct path_buffer *text, __u32 least, struct decision *decision)
{
	__u32 row = walk_rules(slot, text), answer;

	if (!row) {
		decision->reason = REASON_NO_RULES;
		return;
	}
	answer = rule_word(row + PATH_COMMAND);
	if (verdict_of(answer) >= least && stricter(decision->answer, answer) != decision->answer) {
		decision->answer = answer;
		decision->op = PATH_COMMAND;
		decision->reason = REASON_RULE;
	}
}

__noinline int decide_command(__u32 slot, struct path_request *request, struct decision *decision)
{
	struct path_buffer *text;

	if (!request || !decision)
		return 0;
	text = bpf_task_storage_get(&task_host_path, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!text) {
		decision->reason = REASON_NO_MEMORY;
		count(COUNT_NO_MEMORY);
		return 0;
	}
	begin_command();
	read_arguments(request, text);
	if (text->end)
		decide_text(slot, text, VERDICT_HOLD, decision); /* the rest is recorded at birth */
	return 0;
}

/* As the new program has them. */
static __always_inline void read_new_arguments(struct path_request *request, struct path_buffer *text)
{
	struct mm_struct *mm = bpf_get_current_task_btf()->mm;
	unsigned long start = mm->arg_start;
	__u32 len = mm->arg_end - start;

	request->argv_size = len;
	if (len > MAX_ARGV - 8)
		len = MAX_ARGV - 8;
	barrier_var(len);
	text->begin = 0;
	text->end = 0;
	__builtin_memcpy(text->text, ARGV, ARGV_LEN);
	if (len == 0 || bpf_probe_read_user(&text->text[ARGV_LEN], len & (MAX_ARGV - 1), (void *)start))
		return;
	text->end = ARGV_LEN + len - 1;
}

/* What an answer has let go on needs no other one. What the kernel itself has put before the arguments of a script was
 * not asked: its rules deny, and hold nothing. */
static __always_inline void follow_first_decision(struct path_request *request, struct decision *decision)
{
	switch (command_was_answered(request)) {
	case ANSWERED_THIS:
		if (decision->verdict == VERDICT_HOLD || decision->verdict == VERDICT_ALLOW) {
			decision->reason = REASON_ANSWERED;
			decision->verdict = VERDICT_ALLOW;
		}
		break;
	case ANSWERED_ANOTHER:
		refuse(decision, REASON_CHANGED);
		decision->enforced = 1;
		return;
	}
	if (decision->verdict == VERDICT_HOLD && decision->enforced) {
		if (request->flags & INTERPRETED || (!can_block && decision->answer & ANSWER_EVALUATE))
			decision->verdict = VERDICT_AUDIT;
		else
			refuse(decision, REASON_CANNOT_HOLD);
	}
	if (decision->verdict <= VERDICT_AUDIT) {
		decision->enforced = 0;
		decision->effect = EFFECT_GO_ON;
	}
}

__noinline int command_at_birth(struct path_request *request)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct decision decision = { .reason = REASON_RULE, .op = PATH_COMMAND };
	struct label *label = label_of(task);
	struct path_buffer *path, *text;

	if (!request || !label)
		return 0;
	path = bpf_task_storage_get(&task_path, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	text = bpf_task_storage_get(&task_host_path, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!path || !text) {
		decision.reason = REASON_NO_MEMORY;
		count(COUNT_NO_MEMORY);
		conclude(&decision, label, 1);
		return decision.effect;
	}
	read_new_arguments(request, text);
	decide_text(label->slot, text, VERDICT_ALLOW, &decision);
	conclude(&decision, label, 1);
	follow_first_decision(request, &decision);
	path->begin = path->end = 0;
	resolve_path(request->dentry, request->mount, ANY_NAMESPACE, path);
	resolve_directory();
	record_command(label, request, &decision);
	return decision.effect;
}

__noinline int resolve_directory(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct path_buffer *cwd = bpf_task_storage_get(&task_other_path, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	/* Read as numbers: a function that is verified by itself takes no pointers of the kernel. */
	__u64 dentry = (__u64)BPF_CORE_READ(task, fs, pwd.dentry), mount = (__u64)BPF_CORE_READ(task, fs, pwd.mnt);

	if (!cwd)
		return 0;
	cwd->begin = cwd->end = 0;
	resolve_path(dentry, mount, ANY_NAMESPACE, cwd);
	return 0;
}

__noinline int record_command(struct label *label, struct path_request *request, struct decision *decision)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct path_buffer *path = bpf_task_storage_get(&task_path, task, 0, 0);
	struct path_buffer *text = bpf_task_storage_get(&task_host_path, task, 0, 0);
	struct path_buffer *cwd = bpf_task_storage_get(&task_other_path, task, 0, 0);
	__u32 path_len, cwd_len, argv_len, size, recorded = 0;
	struct exec_event *record;
	struct bpf_dynptr ring;

	if (!label || !request || !decision || !path || !text || !cwd)
		return 0;
	text->begin = ARGV_LEN;
	path_len = text_length(path);
	cwd_len = text_length(cwd);
	argv_len = text_length(text);
	if (path_len > MAX_PATH || cwd_len > MAX_PATH || argv_len > MAX_ARGV)
		return 0;
	size = sizeof(struct exec_event) + path_len + cwd_len + argv_len;
	if (decision->recording == RECORD_HELD) {
		if (bpf_ringbuf_reserve_dynptr(&held_events, size, 0, &ring))
			goto done;
	} else if (bpf_ringbuf_reserve_dynptr(&events, size, 0, &ring)) {
		count(COUNT_LOST);
		goto done;
	}
	record = bpf_dynptr_data(&ring, 0, sizeof(*record));
	if (record) {
		struct dentry *program = (void *)request->dentry;
		struct inode *inode = BPF_CORE_READ(program, d_inode);

		fill_head(&record->head, size, EVENT_EXEC, CALL_EXEC, label, decision);
		record->inode = BPF_CORE_READ(inode, i_ino);
		record->device = BPF_CORE_READ(program, d_sb, s_dev);
		record->path_len = path_len;
		record->cwd_len = cwd_len;
		record->argv_len = argv_len;
		record->argv_size = request->argv_size;
		record->pad = 0;
		recorded = 1;
	}
	append_text(&ring, sizeof(struct exec_event), path);
	append_text(&ring, sizeof(struct exec_event) + path_len, cwd);
	append_text(&ring, sizeof(struct exec_event) + path_len + cwd_len, text);
done:
	bpf_ringbuf_submit_dynptr(&ring, 0);
	return recorded;
}

char LICENSE[] SEC("license") = "GPL";
