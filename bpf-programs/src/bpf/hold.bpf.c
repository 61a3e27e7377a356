// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * hold.bpf.c - requests that wait for policy or a person, each in its own system call.
 *
 * A stop and a continue signal to the thread itself cancel each other out; what remains is a reason to leave the kernel
 * by way of the signal code, which restarts the system call at once. So a task that waits turns: its hook asks the same
 * question again and again, until agentd's answer is in a map, and nothing in user memory is trusted, because the hook
 * looks at the real object each time. No parent is told, no handler of the task runs but its own for SIGCONT, and every
 * other signal has its effect. When the answer will take long, agentd freezes the task.
 *
 * A system call may ask several questions, one hook after the other. Each restart asks all of them: those that were
 * answered keep their answers until the call went on.
 */
#include "command.h"
#include "hold.h"
#include "siphash.h"

#define ON_ADDRESS 0x100 /* above every operation on a path */
#define SIGCONT 18
#define SIGSTOP 19
#define ENOSYS 38
#define PF_EXITING 0x4
#define PF_IO_WORKER 0x10
#define PF_KTHREAD 0x200000

/* Another number in each load of the programs: agentd has read the records of its own load. */
const volatile __u32 load_number = 0;

__u64 last_hold_id; /* agentd starts it at a number that no earlier load has used */

/* System calls that have done nothing yet when their hooks run, so that they can begin again. */
static __always_inline bool restarts(long number)
{
	switch (number) {
	case 2: case 42: case 44: case 46: case 49: case 50: case 59: /* open connect sendto sendmsg bind listen execve */
	case 76: case 77: case 82: case 83: case 84: case 85: /* truncate ftruncate rename mkdir rmdir creat */
	case 86: case 87: case 88: case 90: case 91: case 92: /* link unlink symlink chmod fchmod chown */
	case 93: case 94: case 132: case 133: case 188: case 189: /* fchown lchown utime mknod setxattr lsetxattr */
	case 190: case 197: case 198: case 199: case 235: /* fsetxattr removexattr lremovexattr fremovexattr utimes */
	case 257: case 258: case 259: case 260: case 261: /* openat mkdirat mknodat fchownat futimesat */
	case 263: case 264: case 265: case 266: case 268: /* unlinkat renameat linkat symlinkat fchmodat */
	case 280: case 316: case 322: case 437: case 452: /* utimensat renameat2 execveat openat2 fchmodat2 */
	case 463: case 466: /* setxattrat removexattrat */
		return true;
	}
	return false;
}

static __always_inline bool restarts_compat(long number)
{
	switch (number) {
	case 5: case 8: case 9: case 10: case 11: case 14: case 15: case 16: /* open creat link unlink execve mknod chmod lchown */
	case 30: case 38: case 39: case 40: case 83: case 92: /* utime rename mkdir rmdir symlink truncate */
	case 93: case 94: case 95: case 182: case 193: case 194: /* ftruncate fchmod fchown chown truncate64 ftruncate64 */
	case 198: case 207: case 212: /* lchown32 fchown32 chown32 */
	case 226: case 227: case 228: case 235: case 236: case 237: /* *setxattr *removexattr */
	case 271: case 295: case 296: case 297: case 298: case 299: /* utimes openat mkdirat mknodat fchownat futimesat */
	case 301: case 302: case 303: case 304: case 306: /* unlinkat renameat linkat symlinkat fchmodat */
	case 320: case 353: case 358: case 361: case 362: /* utimensat renameat2 execveat bind connect */
	case 363: case 369: case 370: case 412: case 437: case 452: /* listen sendto sendmsg utimensat_time64 openat2 fchmodat2 */
	case 463: case 466:
		return true;
	}
	return false;
}

static __always_inline bool is_truncate(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	long number = regs->orig_ax;

	if (task->thread_info.status & TS_COMPAT)
		return number == 92 || number == 93 || number == 193 || number == 194;
	return number == 76 || number == 77;
}

/* The task is in a system call of its own that has not returned yet and can begin again. Not so in a kernel worker, in
 * work that a task does for io_uring on its way out, and in hooks that run when a part is done. */
static __always_inline bool can_wait(struct task_struct *task, const struct question *question)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	long number = regs->orig_ax;

	switch (question->call) {
	case CALL_MMAP: case CALL_MPROTECT: case CALL_RECEIVE_FD: case CALL_ACCEPT:
		return false;
	}
	if (!can_block || task->flags & (PF_EXITING | PF_IO_WORKER | PF_KTHREAD) || (long)regs->ax != -ENOSYS)
		return false;
	return task->thread_info.status & TS_COMPAT ? restarts_compat(number) : restarts(number);
}

static __always_inline struct task_holds *own_holds(void)
{
	return bpf_task_storage_get(&task_holds, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* Who asks, by its agent and program, and for what. False if it cannot be told. */
static __always_inline bool begin_question(struct task_holds *mine, const struct label *label, __u64 what)
{
	struct inode *program = BPF_CORE_READ(bpf_get_current_task_btf(), mm, exe_file, f_inode);
	__s64 changed_sec = 0;
	__u32 changed_nsec = 0;

	mine->question.request[0] = mine->question.request[1] = 0;
	mine->question.inode = 0;
	mine->question.is_done = 0;
	mine->question.is_command = 0;
	mine->question.is_beneath = 0;
	if (!siphash_begin(&mine->state))
		return false;
	inode_changed(program, &changed_sec, &changed_nsec);
	siphash_word(&mine->state, (__u64)label->slot << 32 | label->serial);
	siphash_word(&mine->state, BPF_CORE_READ(program, i_ino));
	siphash_word(&mine->state, (__u64)BPF_CORE_READ(program, i_sb, s_dev) << 32 | changed_nsec);
	siphash_word(&mine->state, changed_sec);
	siphash_word(&mine->state, what);
	return true;
}

static __always_inline void end_question(struct task_holds *mine)
{
	siphash_end(&mine->state);
	mine->question.request[0] = mine->state.v0;
	mine->question.request[1] = mine->state.v1;
}

static __always_inline __u64 hash_of_text(struct siphash *state, struct path_buffer *text, __u32 begin)
{
	if (!state || !text || !siphash_begin(state))
		return 0;
	text->begin = begin > text->end ? text->end : begin;
	siphash_text(state, text);
	text->begin = 0;
	siphash_end(state);
	return state->v0;
}

static __always_inline void ask_command(struct task_holds *mine, struct path_request *request)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct path_buffer *text = bpf_task_storage_get(&task_host_path, task, 0, 0);

	if (!text)
		return;
	mine->command.hash = hash_of_text(&mine->state, text, ARGV_LEN);
	mine->command.tail_hash = hash_of_text(&mine->state, text, request->argv_tail);
	mine->command.tail_len = text->end > request->argv_tail ? text->end - request->argv_tail : 0;
}

__noinline int begin_command(void)
{
	struct task_holds *mine = bpf_task_storage_get(&task_holds, bpf_get_current_task_btf(), 0, 0);

	if (mine)
		mine->command.answered = 0;
	return 0;
}

__noinline int command_was_answered(struct path_request *request)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_holds *mine = bpf_task_storage_get(&task_holds, task, 0, 0);
	struct path_buffer *text = bpf_task_storage_get(&task_host_path, task, 0, 0);
	__u32 len;

	if (!request || !mine || !text || !mine->command.answered)
		return ANSWERED_NOTHING;
	mine->command.answered = 0;
	if (!(request->flags & INTERPRETED))
		return hash_of_text(&mine->state, text, ARGV_LEN) == mine->command.hash ? ANSWERED_THIS :
											 ANSWERED_ANOTHER;
	len = mine->command.tail_len;
	if (request->argv_size > MAX_ARGV - 8 || len + ARGV_LEN > text->end)
		return ANSWERED_ANOTHER;
	return hash_of_text(&mine->state, text, text->end - len) == mine->command.tail_hash ? ANSWERED_THIS :
											      ANSWERED_ANOTHER;
}

/* A file that does not exist yet has no identity but its name; the hooks of its creation and of its open ask the same. */
__noinline int ask_path(struct label *label, struct path_request *request)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct path_buffer *text = bpf_task_storage_get(&task_path, task, 0, 0);
	struct task_holds *mine = own_holds();
	struct dentry *dentry;
	struct inode *inode;
	__s64 changed_sec;
	__u32 changed_nsec;

	if (!label || !request || !mine || !text)
		return 0;
	mine->question.call = request->call;
	mine->question.op = request->op;
	if (request->flags & HAS_ARGV)
		ask_command(mine, request);
	if (!begin_question(mine, label, (__u64)request->op << 32 | (request->op == PATH_CREATE ? NO_OP : request->also)))
		return 0;
	mine->question.is_beneath = request->flags & IS_BENEATH;
	if (request->op == PATH_CREATE) {
		mine->question.is_done = request->call == CALL_OPEN;
	} else {
		dentry = (struct dentry *)request->dentry;
		inode = BPF_CORE_READ(dentry, d_inode);
		mine->question.inode = (__u64)inode;
		siphash_word(&mine->state, BPF_CORE_READ(inode, i_ino));
		siphash_word(&mine->state, BPF_CORE_READ(inode, i_sb, s_dev));
	}
	if (request->op == PATH_EXEC) { /* what was changed is another program */
		inode_changed(inode, &changed_sec, &changed_nsec);
		siphash_word(&mine->state, changed_sec);
		siphash_word(&mine->state, changed_nsec);
	}
	siphash_text(&mine->state, text);
	if (request->flags & HAS_ARGV) { /* the same words in another directory ask for something else */
		struct dentry *cwd = BPF_CORE_READ(task, fs, pwd.dentry);

		if (!request->argv_size)
			return 0; /* could not be read */
		mine->question.is_command = 1;
		siphash_word(&mine->state, mine->command.hash);
		siphash_word(&mine->state, request->argv_size);
		siphash_word(&mine->state, BPF_CORE_READ(cwd, d_inode, i_ino));
		siphash_word(&mine->state, BPF_CORE_READ(cwd, d_sb, s_dev));
	}
	if (request->other_dentry) {
		siphash_word(&mine->state, request->other_op);
		text = bpf_task_storage_get(&task_other_path, task, 0, 0);
		if (text)
			siphash_text(&mine->state, text);
	}
	end_question(mine);
	return 0;
}

__noinline int ask_address(struct label *label, struct address_request *request)
{
	struct task_holds *mine = own_holds();

	if (!label || !request || !mine)
		return 0;
	mine->question.call = request->call;
	mine->question.op = ON_ADDRESS;
	if (!begin_question(mine, label, (__u64)ON_ADDRESS << 32 | request->op))
		return 0;
	siphash_word(&mine->state, *(__u64 *)&request->address[0]);
	siphash_word(&mine->state, *(__u64 *)&request->address[8]);
	siphash_word(&mine->state, (__u64)request->protocol << 32 | request->port);
	end_question(mine);
	return 0;
}

/* The same for a system call and its restarts. Another call may have the same, too. */
static __noinline __u64 hash_of_syscall(struct siphash *state)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());

	if (!state || !siphash_begin(state))
		return 0;
	siphash_word(state, regs->orig_ax);
	siphash_word(state, regs->ip);
	siphash_word(state, regs->sp);
	siphash_word(state, regs->di);
	siphash_word(state, regs->si);
	siphash_word(state, regs->dx);
	siphash_word(state, regs->r10);
	siphash_word(state, regs->r8);
	siphash_end(state);
	return state->v0;
}

static __always_inline void follow_answer(struct task_holds *mine, struct decision *decision, __u32 verdict, __u64 id)
{
	if (mine->question.is_command)
		mine->command.answered = verdict == VERDICT_ALLOW;
	decision->verdict = verdict;
	decision->reason = REASON_ANSWERED;
	decision->hold = id;
	decision->enforced = verdict != VERDICT_ALLOW;
	decision->effect = verdict == VERDICT_ALLOW ? EFFECT_GO_ON : EFFECT_REFUSE;
	if (decision->enforced)
		count(COUNT_DENIED);
}

static __always_inline struct standing_answer *standing_answer(struct task_holds *mine, const struct label *label,
							       const __u64 request[2])
{
	struct standing_answer *known;
	struct agent *agent = agent_of(label);

	mine->key.slot = label->slot;
	mine->key.serial = label->serial;
	mine->key.request[0] = request[0];
	mine->key.request[1] = request[1];
	known = bpf_map_lookup_elem(&standing_answers, &mine->key);
	if (!known || !agent || known->generation != agent->generation || known->expires_ns < bpf_ktime_get_boot_ns())
		return 0;
	return known;
}

/* In mine->key is still what was asked last. */
__noinline int remember_answer(struct recent_open *open)
{
	struct task_holds *mine = bpf_task_storage_get(&task_holds, bpf_get_current_task_btf(), 0, 0);

	if (!open || !mine)
		return 0;
	open->answer[0] = mine->key.request[0];
	open->answer[1] = mine->key.request[1];
	return 1;
}

__noinline int answer_stands(struct recent_open *open)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_holds *mine = bpf_task_storage_get(&task_holds, task, 0, 0);
	struct label *label = label_of(task);
	struct standing_answer *known;

	if (!open || !mine || !label)
		return 0;
	known = standing_answer(mine, label, open->answer);
	return known && known->verdict == VERDICT_ALLOW;
}

static __always_inline void forget(struct held *held)
{
	__u64 id = held->id;

	bpf_map_delete_elem(&holds, &id);
	bpf_map_delete_elem(&hold_answers, &id);
	held->id = 0;
}

/* False if the table of holds is full. */
static __always_inline bool begin(struct task_holds *mine, struct held *held, const struct label *label,
				  const struct decision *decision, __u64 syscall)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 id = __sync_fetch_and_add(&last_hold_id, 1) + 1;

	mine->hold.slot = label->slot;
	mine->hold.serial = label->serial;
	mine->hold.tgid = task->tgid;
	mine->hold.tid = task->pid;
	mine->hold.start_ns = task->group_leader->start_boottime;
	mine->hold.request[0] = mine->question.request[0];
	mine->hold.request[1] = mine->question.request[1];
	mine->hold.since_ns = bpf_ktime_get_boot_ns();
	mine->hold.call = mine->question.call;
	mine->hold.answer = decision->answer;
	if (bpf_map_update_elem(&holds, &id, &mine->hold, BPF_NOEXIST))
		return false;
	held->id = id;
	held->request[0] = mine->question.request[0];
	held->request[1] = mine->question.request[1];
	held->syscall = syscall;
	held->verdict = VERDICT_HOLD;
	held->used = 0;
	held->told = 0;
	held->op = mine->question.op;
	held->inode = mine->question.inode;
	count(COUNT_HELD);
	return true;
}

/* The system call begins again: what it asked before this is asked again, and keeps its answer. */
static __always_inline void turn(struct task_holds *mine, struct held *held, struct decision *decision, __u64 syscall)
{
	for (int i = 0; i < HOLDS_PER_TASK; i++)
		if (mine->held[i].syscall == syscall)
			mine->held[i].used = 0;
	if (bpf_send_signal_thread(SIGSTOP)) {
		forget(held);
		refuse(decision, REASON_CANNOT_HOLD);
		return;
	}
	bpf_send_signal_thread(SIGCONT);
	decision->hold = held->id;
	decision->effect = EFFECT_ASK_AGAIN;
	decision->told = held->told != 0;
	decision->recording = held->told == load_number ? RECORD_NOTHING : RECORD_HELD;
	count(COUNT_TURNS);
}

/* An open that empties its file asks twice: to write, and a moment later to truncate. Where the first one is in
 * mine->held, or HOLDS_PER_TASK. */
__noinline __u32 opened_to_write(struct task_holds *mine, __u64 syscall)
{
	for (int i = 0; mine && i < HOLDS_PER_TASK; i++) {
		struct held *one = &mine->held[i];

		if (one->id && one->syscall == syscall && one->used && one->op == PATH_WRITE &&
		    one->inode == mine->question.inode && one->verdict == VERDICT_ALLOW)
			return i;
	}
	return HOLDS_PER_TASK;
}

/* Where in mine->held the same system call has asked this before: its restart, or another call that is just like it. Else
 * a free place, or the first one, plus HOLDS_PER_TASK. A number from a function that is verified by itself, because the
 * verifier would follow each pair of pointers. */
__noinline __u32 find_held(struct task_holds *mine, __u64 syscall)
{
	__u32 place = 0;

	for (int i = 0; mine && i < HOLDS_PER_TASK; i++) {
		struct held *one = &mine->held[i];

		if (one->id && one->syscall == syscall && one->request[0] == mine->question.request[0] &&
		    one->request[1] == mine->question.request[1])
			return i;
		if (!one->id || (one->used && one->syscall != syscall))
			place = i;
	}
	return HOLDS_PER_TASK + place;
}

/* Takes the answer to a request that waits, if there is one. */
static __always_inline void take_answer(struct held *held)
{
	__u64 id = held->id;
	__u32 *answer = bpf_map_lookup_elem(&hold_answers, &id);

	if (!answer)
		return;
	held->verdict = *answer == VERDICT_ALLOW ? VERDICT_ALLOW : VERDICT_DENY;
	bpf_map_delete_elem(&holds, &id);
	bpf_map_delete_elem(&hold_answers, &id);
}

__noinline int hold_request(struct label *label, struct decision *decision)
{
	struct task_holds *mine = own_holds();
	struct standing_answer *known;
	__u32 number;
	struct held *held;
	bool asked;
	__u64 syscall;

	if (!label || !decision)
		return 0;
	if (!mine) {
		refuse(decision, REASON_NO_MEMORY);
		return 0;
	}
	if (!mine->question.request[0]) {
		refuse(decision, REASON_CANNOT_HOLD);
		return 0;
	}
	known = standing_answer(mine, label, mine->question.request);
	if (known) {
		decision->stands = 1;
		follow_answer(mine, decision, known->verdict, known->id);
		return 0;
	}
	if (!can_wait(bpf_get_current_task_btf(), &mine->question)) {
		refuse(decision, REASON_CANNOT_HOLD);
		return 0;
	}
	syscall = hash_of_syscall(&mine->state);
	if (mine->question.call == CALL_TRUNCATE && !is_truncate()) {
		number = opened_to_write(mine, syscall);
		if (number < HOLDS_PER_TASK) {
			held = &mine->held[number];
			decision->recording = RECORD_NOTHING;
			follow_answer(mine, decision, held->verdict, held->id);
			return 0;
		}
	}
	number = find_held(mine, syscall);
	asked = number < HOLDS_PER_TASK;
	held = &mine->held[number % HOLDS_PER_TASK];
	if (asked && held->verdict == VERDICT_HOLD)
		take_answer(held);
	if (mine->question.is_done) {
		decision->recording = RECORD_NOTHING;
		if (asked && held->verdict == VERDICT_ALLOW)
			follow_answer(mine, decision, held->verdict, held->id);
		else
			refuse(decision, REASON_CANNOT_HOLD);
		return 0;
	}
	if (asked && held->verdict != VERDICT_HOLD && (!held->used || mine->question.is_beneath)) {
		held->used = 1;
		decision->recording = RECORD_NOTHING;
		follow_answer(mine, decision, held->verdict, held->id);
		return 0;
	}
	if (!asked || held->used) {
		if (held->id && held->verdict == VERDICT_HOLD)
			forget(held); /* of a call that never began again */
		if (!begin(mine, held, label, decision, syscall)) {
			held->id = 0;
			refuse(decision, REASON_NO_MEMORY);
			count(COUNT_NO_MEMORY);
			return 0;
		}
	}
	turn(mine, held, decision, syscall);
	return 0;
}

__noinline int hold_is_told(__u64 id)
{
	struct task_holds *mine = bpf_task_storage_get(&task_holds, bpf_get_current_task_btf(), 0, 0);

	for (int i = 0; mine && i < HOLDS_PER_TASK; i++)
		if (mine->held[i].id == id)
			mine->held[i].told = load_number;
	return 0;
}

__noinline int withdraw_holds(void)
{
	struct task_holds *mine = bpf_task_storage_get(&task_holds, bpf_get_current_task_btf(), 0, 0);

	for (int i = 0; mine && i < HOLDS_PER_TASK; i++)
		if (mine->held[i].id && mine->held[i].verdict == VERDICT_HOLD)
			forget(&mine->held[i]);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
