/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * wire.h - every type that crosses between the kernel programs and agentd, written once.
 *
 * agentd's Rust types are generated from this file through BTF. A number is never reused: append.
 */
#ifndef AGENTGUARD_WIRE_H
#define AGENTGUARD_WIRE_H

enum limits {
	MAX_AGENTS = 1024,          /* slots in the agents map */
	MAX_PATH = 4096,            /* PATH_MAX: a longer path is "too long", which is a deny */
	MAX_ARGV = 4096,            /* bytes of argv recorded for an exec */
	MAX_NAME = 256,             /* DNS name, dotted, lower case */
	MAX_RANGES = 64,            /* port ranges under one prefix */
	MAX_PREFIXES = 131072,      /* address prefixes of all rulesets together */
	MAX_RESOLVED = 16384,       /* addresses that agents learned from DNS answers */
	MAX_OPEN_FILES = 32768,     /* governed open files whose bytes are summed */
	RECENT_OPENS = 16,          /* opens of a task that later ones can be folded into; a power of two */
	FOLD_MS = 1000,             /* an open that repeats one of at most this age is folded into it */
	MAX_PEERS = 16384,          /* network peers whose bytes are summed */
	MAX_EXEC_FILES = 16384,     /* executables pinned by hash */
	RULE_WORDS = 1 << 23,       /* 32-bit words in the rules arena: 32 MiB */
	EVENT_RING_BYTES = 1 << 22, /* 4 MiB; agentd maps it twice */
	LOG_RING_BYTES = 1 << 16,
	NAMES_PER_ADDRESS = 4,      /* granted names that may share one address */
	MAX_HOLDS = 4096,           /* requests that wait at once */
	HOLDS_PER_TASK = 4,         /* requests of one system call that wait or were answered */
	MAX_ANSWERS = 65536,        /* answers that hold for later requests too */
	HOLD_RING_BYTES = 1 << 18,
	COMM_LEN = 16,
};

/* Verdict of one request. The order is the order of strictness: the stricter of two is the larger. */
enum verdict { VERDICT_ALLOW = 0, VERDICT_AUDIT = 1, VERDICT_HOLD = 2, VERDICT_DENY = 3 };

enum mode { MODE_RELEASED = 0, MODE_OBSERVE = 1, MODE_ENFORCE = 2 };

/* Which layer an answer comes from. */
enum layer { LAYER_DEFAULT = 0, LAYER_GRANT = 1, LAYER_GUARDRAIL = 2 };

/* An answer is one 32-bit word, computed in user space:
 *   bits 0-1  enum verdict
 *   bits 2-3  enum layer
 *   bit  4    the object must also be in exec_files with the recorded identity
 *   bit  5    with VERDICT_HOLD: policy decides, and where it says nothing the request goes on ("evaluate")
 *   bits 8-31 rule index in the agent's ruleset, 0 = none
 */
enum answer_bits {
	ANSWER_VERDICT_MASK = 0x3,
	ANSWER_LAYER_SHIFT = 2,
	ANSWER_LAYER_MASK = 0xc,
	ANSWER_PINNED = 0x10,
	ANSWER_EVALUATE = 0x20,
	ANSWER_RULE_SHIFT = 8,
};

/* Operations on a path-like object, decided by the ruleset's automaton. DNS names are walked as "dns:NAME",
 * abstract sockets as "@NAME" and command lines as "argv:ARG0 ARG1 ...", so one mechanism matches them all. */
enum path_op {
	PATH_READ = 0,      /* open for reading, list a directory */
	PATH_WRITE = 1,     /* open for writing, truncate, rename over, shared writable mapping */
	PATH_CREATE = 2,    /* create, mkdir, mknod, symlink, new name of a link or a rename */
	PATH_DELETE = 3,    /* unlink, rmdir, old name of a rename */
	PATH_ATTR = 4,      /* chmod, chown, times, extended attributes */
	PATH_LINK = 5,      /* the existing file gets another hard link */
	PATH_EXEC = 6,      /* execve of this file */
	PATH_MAP_EXEC = 7,  /* map this file executable */
	PATH_CONNECT = 8,   /* connect or send to this unix socket */
	PATH_BIND = 9,      /* bind an abstract unix socket */
	PATH_RESOLVE = 10,  /* a DNS answer for this name is followed; the rule index selects its ports */
	PATH_COMMAND = 11,  /* run this command line */
	NR_PATH_OPS = 12,
};

/* Operations on an address. */
enum address_op { ADDRESS_CONNECT = 0, ADDRESS_LISTEN = 1, NR_ADDRESS_OPS = 2 };

/* Operations that have no object worth a pattern: one answer each. */
enum class_op {
	CLASS_SOCKET_TCP = 0,
	CLASS_SOCKET_UDP = 1,
	CLASS_SOCKET_UNIX = 2,
	CLASS_SOCKET_NETLINK_ROUTE = 3, /* what getaddrinfo and ip use */
	CLASS_SOCKET_NETLINK = 4,       /* every other netlink protocol */
	CLASS_SOCKET_PING = 5,
	CLASS_SOCKET_RAW = 6,
	CLASS_SOCKET_PACKET = 7,
	CLASS_SOCKET_OTHER = 8,         /* vsock, AF_ALG, XDP, TIPC, MPTCP, SCTP, DCCP, ... */
	CLASS_EXEC_ANONYMOUS = 9,       /* executable memory without a file */
	CLASS_EXEC_MEMFD = 10,          /* run or map an executable that has no name (memfd, deleted, O_TMPFILE) */
	CLASS_EXEC_PRIVILEGED = 11,     /* run a file that raises privilege: setuid, setgid, file capabilities */
	CLASS_SET_ID = 12,              /* change uid, gid or capabilities to something not held before */
	CLASS_USER_NAMESPACE = 13,
	CLASS_PTRACE = 14,              /* inspect or control a process that is not of this agent */
	CLASS_SIGNAL = 15,              /* signal a process that is not of this agent */
	CLASS_MOUNT = 16,               /* mount, move, remount, pivot_root, chroot */
	CLASS_KERNEL = 17,              /* bpf(), module load and autoload, kexec */
	CLASS_IO_URING = 18,            /* a ring with a kernel polling thread or borrowed credentials */
	CLASS_RECEIVE_FD = 19,          /* reserved for descriptors whose object cannot be told */
	NR_CLASS_OPS = 20,
	NR_CAPABILITIES = 64,
};

/* Why a verdict is what it is, where it is not simply the rule in the answer. */
enum reason {
	REASON_RULE = 0,
	REASON_DEFAULT = 1,
	REASON_UNRESOLVED = 2,    /* the path of the object could not be told */
	REASON_TOO_LONG = 3,
	REASON_NO_MEMORY = 4,     /* a map was full or an allocation failed */
	REASON_NO_RULES = 5,      /* the agent's rules are not in the kernel */
	REASON_IDENTITY = 6,      /* the executable is not the one whose hash was approved */
	REASON_ELSEWHERE = 7,     /* denied by the object's path on the host, not by the path as seen */
	REASON_RESOLVED_NAME = 8, /* allowed because a granted name resolved to this address */
	REASON_PROTECTED = 9,     /* the target process is agentd */
	REASON_ANSWERED = 10,     /* policy or a person answered when the request was held */
	REASON_CANNOT_HOLD = 11,  /* the rule says hold, and this request cannot wait: io_uring, a kernel worker, a call that
				   * has done a part already */
	REASON_CHANGED = 12,      /* the command line of the new program is not the one that was answered */
	NR_REASONS = 13,
};

/* Set for ever in the kernel: which agent a task belongs to. */
/* This, and how an agent begins, is read by agentds of every layout: it never changes. */
struct label {
	__u32 slot;
	__u32 serial;
};

struct agent {
	__u32 serial;      /* a label with another serial belongs to an agent that was released */
	__u32 mode;        /* enum mode */
	__u32 generation;  /* of the ruleset, goes into every record */
	__u32 ruleset;     /* key into prefixes, resolvers and exec_files */
	__u32 rules;       /* word index of the automaton in the arena */
	__u32 names;       /* word index of the table of {ranges, count} by rule index */
	__u32 asks_each_send; /* connections were made under wider rules: each send is a request */
	__u32 class_answer[NR_CLASS_OPS];
	__u32 capability_answer[NR_CAPABILITIES];
	/* What these rules were made of, for whoever reads them back; no hook looks at it. */
	__u8 spec_sha256[32];
	__u8 policy_sha256[32];
};

/* The automaton in the arena: one comb-compressed DFA. All offsets are words relative to the automaton.
 *   header, then 256 words: byte -> class
 *   states:  {base, otherwise, row}             3 words each
 *   comb:    {owner, next}                      2 words each; entry base + class is valid if owner == state
 *   rows:    seen[NR_PATH_OPS], elsewhere[NR_PATH_OPS]  answers; "elsewhere" holds denials only
 */
struct automaton {
	__u32 start;   /* first state */
	__u32 states;  /* offset of the state table */
	__u32 comb;    /* offset of the comb */
	__u32 rows;    /* offset of the rows */
	__u32 classes[256];
};

/* One port range under a prefix. ports are host order; protocol 0 is any. */
struct range {
	__u16 low;
	__u16 high;
	__u32 protocol;
	__u32 guardrail; /* answer */
	__u32 grant;     /* answer */
};

struct prefix_key {
	__u32 bits;     /* 64 + prefix length: ruleset and op always match whole */
	__u32 ruleset;
	__u32 op;       /* enum address_op */
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
};

struct prefix_value {
	__u32 ranges; /* word index in the arena */
	__u32 count;
};

struct resolved_key {
	__u32 serial; /* of the agent: a slot is used again, and must not inherit what its last agent resolved */
	__u8 address[16];
};

struct resolved_name {
	__u64 expires_ns; /* boot time clock */
	__u32 answer;
	__u32 generation;
};

struct resolved_value {
	struct resolved_name name[NAMES_PER_ADDRESS];
};

struct resolver_key {
	__u32 ruleset;
	__u8 address[16];
};

struct exec_file_key {
	__u32 ruleset;
	__u32 device; /* kernel's dev_t encoding: major << 20 | minor */
	__u64 inode;
};

struct exec_file_value {
	__s64 changed_sec; /* ctime */
	__u32 changed_nsec;
	__u32 answer;
};

struct peer_key {
	__u32 slot;
	__u32 serial;
	__u8 address[16];
	__u16 port;
	__u16 protocol;
};

struct peer_value {
	__u64 sent_bytes; /* IP packets, headers included */
	__u64 received_bytes;
	__u64 last_ns;
};

/* Who asked: a thread, as it was at that time. */
struct caller {
	__u64 start_ns; /* of the process, boot time clock: with tgid it names the process */
	__u64 parent_start_ns;
	__u32 tgid;
	__u32 tid;
	__u32 parent_tgid;
	__u32 uid;
	__u32 gid;
	__u32 pad;
	__u8 comm[COMM_LEN];
};

struct open_file {
	__u64 inode;         /* struct inode: the kernel gives a struct file out again and again */
	__u64 open_id;       /* of the open whose event stands for it: its own, or the one it was folded into */
	__u64 read_bytes;    /* since the last record of them */
	__u64 written_bytes;
	__u32 slot;
	__u32 serial;
	struct caller opener;
};

/* A request that waits. */
struct hold {
	__u32 slot;
	__u32 serial;
	__u32 tgid;
	__u32 tid;
	__u64 start_ns;   /* of the process, as in struct caller */
	__u64 request[2]; /* what is asked: the hash of agent, program, operation and object */
	__u64 since_ns;
	__u32 call;
	__u32 answer;     /* with the rule that says hold */
};

/* What was asked, by whom: the key of an answer that holds for later requests too. */
struct answered_request {
	__u32 slot;
	__u32 serial;
	__u64 request[2];
};

struct standing_answer {
	__u64 expires_ns; /* boot time clock */
	__u32 generation; /* of the agent's rules */
	__u32 verdict;    /* VERDICT_ALLOW or VERDICT_DENY */
	__u64 id;         /* of the hold whose answer it is */
};

enum event_kind {
	EVENT_FILE = 1,
	EVENT_FILE_IO = 2,
	EVENT_ADDRESS = 3,
	EVENT_CLASS = 4,
	EVENT_FORK = 5,
	EVENT_EXEC = 6,
	EVENT_EXIT = 7,
	EVENT_RESOLVED = 8,
	EVENT_CREDENTIALS = 9,
};

/* What the task asked for, finer than the operation that the rules know. */
enum call {
	CALL_OPEN = 1,
	CALL_CREATE = 2,
	CALL_UNLINK = 3,
	CALL_RENAME = 4,
	CALL_LINK = 5,
	CALL_SYMLINK = 6,
	CALL_MKDIR = 7,
	CALL_RMDIR = 8,
	CALL_MKNOD = 9,
	CALL_TRUNCATE = 10,
	CALL_CHMOD = 11,
	CALL_CHOWN = 12,
	CALL_UTIMES = 13,
	CALL_XATTR = 14,
	CALL_MMAP = 15,
	CALL_MPROTECT = 16,
	CALL_RECEIVE_FD = 17,
	CALL_EXEC = 18,
	CALL_SOCKET = 19,
	CALL_CONNECT = 20,
	CALL_SEND = 21,
	CALL_BIND = 22,
	CALL_LISTEN = 23,
	CALL_ACCEPT = 24,
	CALL_CAPABILITY = 25,
	CALL_PTRACE = 26,
	CALL_SIGNAL = 27,
	CALL_SET_ID = 28,
	CALL_NAMESPACE = 29,
	CALL_MOUNT = 30,
	CALL_CHROOT = 31,
	CALL_BPF = 32,
	CALL_MODULE = 33,
	CALL_IO_URING = 34,
	CALL_FORK = 35,
	CALL_EXIT = 36,
	CALL_RESOLVE = 37,
	CALL_FILE_IO = 38,
	CALL_IOCTL = 39,
	CALL_SETRLIMIT = 40,
};

struct event {
	__u64 time_ns; /* boot time clock */
	struct caller caller;
	__u32 size;     /* of the whole record */
	__u16 kind;     /* enum event_kind */
	__u16 call;     /* enum call */
	__u32 op;       /* enum path_op, address_op or class_op, by kind; capabilities: the number */
	__u32 verdict;  /* enum verdict: what the rules said */
	__u32 answer;
	__u32 reason;   /* enum reason */
	__u32 slot;
	__u32 serial;
	__u32 mode;     /* enum mode; in observe mode and on a back end that cannot block nothing was blocked */
	__u32 enforced; /* 1 if the back end turned a deny into an error */
	__u32 generation;
	__u32 again;    /* 1 if an agentd before this one was told of the same request already */
	__u64 hold;     /* number of the hold that this request waits for, or was answered by; 0 if none */
};

struct file_event {
	struct event head;
	__u64 id;     /* joins an open with its FILE_IO event, 0 = none */
	__u64 inode;
	__u32 device;
	__u32 mode;   /* st_mode of the object, or the new mode for chmod, mkdir, mknod */
	__u32 flags;  /* open flags or rename flags */
	__u32 path_len;
	__u32 other_len; /* rename, link: the new path; symlink: the target; elsewhere: the host path */
	__u32 pad;
	/* path bytes, then other bytes; not terminated */
};

struct file_io_event {
	struct event head;
	__u64 open_id;     /* of the open whose event has the path */
	__u64 read_bytes;  /* since the last of its events */
	__u64 written_bytes;
};

struct address_event {
	struct event head;
	__u8 address[16];
	__u8 local[16];
	__u16 port;
	__u16 local_port;
	__u16 family;   /* as the program asked: 2 or 10 */
	__u16 protocol;
	__u64 size;     /* bytes of a send */
};

struct class_event {
	struct event head;
	__u32 class_op; /* enum class_op, or NR_CLASS_OPS for a capability */
	__u32 arg[5];   /* socket: family, type, protocol; signal: target, signal; ptrace: target, mode */
};

struct fork_event {
	struct event head;
	__u64 child_start_ns;
	__u32 child_tgid;
	__u32 pad;
};

struct exec_event {
	struct event head;
	__u64 inode;
	__u32 device;
	__u32 path_len;
	__u32 cwd_len;
	__u32 argv_len;  /* NUL separated */
	__u32 argv_size; /* real size; larger than argv_len if it was cut */
	__u32 pad;
	/* path bytes, cwd bytes, argv bytes */
};

struct exit_event {
	struct event head;
	__s32 code;
	__u32 signal;
};

struct credentials_event {
	struct event head;
	__u32 old_uid, old_gid, new_uid, new_gid;
	__u64 old_capabilities, new_capabilities;
};

struct resolved_event {
	struct event head;
	__u8 address[16];
	__u32 ttl_sec;
	__u32 name_len;
	__u8 name[MAX_NAME];
};

/* Counters, one array per CPU: index by this. */
enum counter {
	COUNT_EVENTS = 0,     /* emitted */
	COUNT_LOST = 1,       /* ring buffer full */
	COUNT_DENIED = 2,
	COUNT_UNRESOLVED = 3,
	COUNT_NO_MEMORY = 4,
	COUNT_HELPER = 5,     /* a helper failed that should not */
	COUNT_DNS_SKIPPED = 6, /* DNS answers that were too long or malformed to follow */
	COUNT_CANARY = 7,     /* denials of the canary agent */
	COUNT_FOLDED = 8,     /* opens without an event of their own: the same was recorded a moment ago */
	COUNT_HELD = 9,       /* requests that waited */
	COUNT_TURNS = 10,     /* times that one of them was asked about again without an answer */
	NR_COUNTERS = 11,
};

#endif
