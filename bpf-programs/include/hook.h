/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * hook.h - the three steps of every hook: not governed, return; fill the request; return enforce_*(&request).
 *
 * enforce_*() is the only place that knows modes and back ends, decide.h the only one that looks at rules.
 */
#ifndef AGENTGUARD_HOOK_H
#define AGENTGUARD_HOOK_H

#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "wire.h"
#include "maps.h"
#include "compat.h"

#define EPERM 1
#define ERESTARTNOINTR 513

#define FMODE_READ 0x1
#define FMODE_WRITE 0x2
#define FMODE_CREATED 0x100000
#define FMODE_NOACCOUNT 0x20000000 /* a file system's own, not a descriptor's: overlayfs */
#define FMODE_EXEC_FLAG 0x20 /* __FMODE_EXEC in f_flags: an open by execve, user space cannot set it */

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000

#define NO_OP 0xffffffff
#define CANARY_SLOT 0 /* agentd's own probe: decided like any agent, never recorded */

/* How a request is decided and recorded. */
enum request_flags {
	ANY_NAMESPACE = 1, /* the object may lie in another mount namespace (unix sockets) */
	QUIET = 4,         /* record only if it is not allowed */
	HAS_FILE = 8,      /* file_key names an open file whose bytes are to be counted */
	BLOCKS = 16,       /* this program's error stops the operation on every back end (cgroup programs) */
	IS_TEXT = 64,      /* the object is not a file but the abstract unix address in text */
	IS_NAME = 128,     /* dentry is a directory and text the name below it, in user memory */
	HAS_ARGV = 256,    /* an execve that begins: its command line is decided, too */
	INTERPRETED = 512, /* a new program that its kernel started as an interpreter for another file */
	IS_BENEATH = 1024, /* a file system opens the file beneath one that was opened a moment ago */
	SILENT = 32,       /* never recorded: the kernel only asks whether it could */
};

/* Allowed, without audit, and the record is in the ring. */
enum recorded {
	RECORDED_NOT = 0,
	RECORDED_BY_RULES = 1,
	RECORDED_BY_ANSWER = 2, /* a standing one: it may end */
};

/* One request on a path-like object. Pointers travel as numbers: they are only ever read safely. */
struct path_request {
	__u32 call;
	__u32 op;       /* enum path_op */
	__u32 also;     /* a second operation on the same object, or NO_OP */
	__u32 flags;    /* enum request_flags */
	__u64 dentry;
	__u64 mount;    /* struct vfsmount, 0 if the hook does not know it */
	__u64 other_dentry; /* rename, link: the second name; 0 if there is none */
	union {
		__u64 other_mount;
		struct { /* of commands, which have no other name */
			__u32 argv_size; /* set by command.bpf.c: 0 if the arguments could not be read */
			__u32 argv_tail; /* where the second one begins */
		};
	};
	__u32 other_op;
	__u32 open_flags;
	__u32 mode;
	__u32 text_len; /* with IS_TEXT */
	union {
		__u64 text;     /* kernel memory with IS_TEXT, user memory with IS_NAME */
		__u64 file_key; /* with HAS_FILE */
		__u64 argc;     /* with HAS_ARGV: how many arguments the kernel has taken */
	};
	__u64 file_id;  /* of the open whose record has the path, set by follow_file() */
	__u64 recorded; /* enum recorded, set by enforce_path() */
};

struct address_request {
	__u32 call;
	__u32 op;       /* enum address_op */
	__u32 family;
	__u32 protocol;
	__u32 port;     /* host order */
	__u32 local_port;
	__u32 flags;
	__u32 pad;
	__u64 size;
	__u8 address[16];
	__u8 local[16];
};

struct class_request {
	__u32 call;
	__u32 op;       /* enum class_op, or NR_CLASS_OPS + capability */
	__u32 flags;
	__u32 reason;   /* enum reason for a denial, REASON_RULE if the answer says it */
	__u32 arg[4];
};

/* What becomes of an operation. */
enum effect {
	EFFECT_GO_ON = 0,
	EFFECT_REFUSE = 1,
	EFFECT_ASK_AGAIN = 2, /* the system call begins again */
};

/* Each decides, records, and returns an enum effect. Call only if governed. */
int enforce_path(struct path_request *request);
int enforce_address(struct address_request *request);
int enforce_class(struct class_request *request);

/* What a hook returns: constants, because newer verifiers want to see its range. */
static __always_inline int outcome(int effect)
{
	if (effect == EFFECT_GO_ON)
		return 0;
	return effect == EFFECT_ASK_AGAIN ? -ERESTARTNOINTR : -EPERM;
}

/* Set by agentd before the load: 1 if a program that returns an error stops the operation. */
extern const volatile __u32 can_block;

static __always_inline struct label *label_of(struct task_struct *task)
{
	return bpf_task_storage_get(&task_label, task, 0, 0);
}

/* The agent that a label names, unless it was released. */
static __always_inline struct agent *agent_of(const struct label *label)
{
	__u32 slot = label->slot;
	struct agent *agent = bpf_map_lookup_elem(&agents, &slot);

	if (!agent || agent->serial != label->serial || agent->mode == MODE_RELEASED)
		return 0;
	return agent;
}

/* Gives the current task the label of its process' first thread; whether there is one. track.bpf.c has it. */
int adopt_label(void);

/* The agent of the current task, 0 if it is not governed. The first step of every hook and all that others pay for: a
 * load or two for a task and a first thread that no BPF program has ever attached anything to.
 *
 * Of a process that is moved into a governed cgroup the kernel tells the first thread only. */
static __always_inline struct agent *own_agent(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct label *label;

	if (!task->bpf_storage && (task->group_leader == task || !task->group_leader->bpf_storage))
		return 0;
	label = label_of(task);
	if (!label && task->group_leader != task && adopt_label())
		label = label_of(task);
	return label ? agent_of(label) : 0;
}

static __always_inline bool governed(void)
{
	return own_agent() != 0;
}

#endif
