/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * maps.h - every map, declared once (weak, so that each source file may include this), named key_value
 * where both say something. For each: who writes, who reads, how many, and what a miss means.
 */
#ifndef AGENTGUARD_MAPS_H
#define AGENTGUARD_MAPS_H

#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "wire.h"

#define PATH_SLACK 2048 /* more than a component and a chunk, so that a masked access stays inside */

/* A path (or another text for the automaton), built from its end towards its beginning. */
struct path_buffer {
	__u32 begin;
	__u32 end;
	char text[MAX_PATH + PATH_SLACK];
};

/* task -> agent. Written at fork, when a task enters a governed cgroup and by the labeller; read by every
 * hook. A miss means that the task is not governed. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct label);
} task_label __weak SEC(".maps");

/* task -> buffers for its own hooks. A task runs one hook at a time, so these need no lock; they are not
 * per CPU because LSM programs can be preempted. A failed creation is REASON_NO_MEMORY. Each stays below
 * 8 KiB, the largest allocation that newer kernels make for task storage. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct path_buffer);
} task_path __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct path_buffer);
} task_other_path __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct path_buffer);
} task_host_path __weak SEC(".maps");

/* An open that was allowed and recorded, and everything that this depended on. Dentries and mounts come and go at the
 * same addresses, so the file itself and whether anything was renamed or mounted since belong to it. */
struct recent_open {
	__u64 dentry;
	__u64 mount;
	__u64 namespace;
	__u64 inode;
	__u32 device;
	__u32 inode_generation; /* an inode number that is used again has another one, or another ctime */
	__s64 changed_sec;      /* ctime */
	__u32 changed_nsec;
	__u32 open_flags;
	__u32 op;
	__u32 also;
	__u64 places;           /* places_version() */
	__u32 serial;           /* of the agent, and of its rules */
	__u32 generation;
	__u32 rules;
	__u32 executions;       /* of this task: another program has another count */
	__u64 uid_gid;
	__u64 time_ns;          /* from here on not part of what must be the same */
	__u64 id;
	__u64 answer[2];        /* the request of the standing answer that let it go on; 0 if rules did */
};

struct recent_opens {
	struct recent_open now; /* the one that is being decided */
	struct recent_open by_hash[RECENT_OPENS];
};

/* task -> its recent opens. Written and read by on_file_open alone. A miss, or a creation that failed, means that every
 * open is decided and recorded. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct recent_opens);
} task_opens __weak SEC(".maps");

/* slot -> agent. Written by agentd, read by every hook. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_AGENTS);
	__type(key, __u32);
	__type(value, struct agent);
} agents __weak SEC(".maps");

struct rules {
	__u32 word[RULE_WORDS];
};

/* The arena: automata and port ranges of all agents. Mapped and written by agentd, which never changes
 * words that an entry of agents points to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct rules);
} rules __weak SEC(".maps");

/* ruleset, operation, address -> port ranges. Written by agentd. A miss is REASON_NO_RULES, a deny: every
 * ruleset has a /0 prefix. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, struct prefix_value);
} prefix_ranges __weak SEC(".maps");

/* agent, address -> granted names that resolved to it. Written by the DNS follower, swept by agentd. A miss
 * means that no granted name has this address. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_RESOLVED);
	__type(key, struct resolved_key);
	__type(value, struct resolved_value);
} resolved_names __weak SEC(".maps");

/* ruleset, address -> 1: DNS servers whose answers are believed. Written by agentd. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_AGENTS * 8);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct resolver_key);
	__type(value, __u32);
} resolvers __weak SEC(".maps");

/* ruleset, device, inode -> identity of an executable granted by hash. Written by agentd. A miss denies. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_EXEC_FILES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct exec_file_key);
	__type(value, struct exec_file_value);
} exec_files __weak SEC(".maps");

struct host_mount {
	__u32 mount_id;
	__u32 prefix_len;
	char prefix[256];
};

/* device of a file system -> where its root is mounted on the host. Written by agentd from its own
 * mountinfo. A miss means that the path from the root of the file system stands alone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct host_mount);
} host_mounts __weak SEC(".maps");

/* cgroup id -> agent. Written by agentd, read when a task enters a cgroup, forks or executes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_AGENTS * 4);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct label);
} cgroup_label __weak SEC(".maps");

struct cgroup_path {
	char path[256];
};

/* path below the mount -> agent: a service that starts again gets a new cgroup where the old one was. Written by
 * agentd, read when a cgroup is made. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_AGENTS * 4);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cgroup_path);
	__type(value, struct label);
} cgroup_place __weak SEC(".maps");

/* process id -> agent, only while agentd enrolls running processes. Read by the labeller. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct label);
} enroll_label __weak SEC(".maps");

/* socket -> agent that made it, inherited by accepted sockets. Read where the task is not current. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct label);
} socket_label __weak SEC(".maps");

/* struct file -> bytes since they were recorded last. Only bytes.h and bytes.bpf.c use it: they know when the kernel has
 * given the struct file to another file. A miss means that the bytes of this file are not counted: opened before its
 * task was governed, or more than MAX_OPEN_FILES are open. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_OPEN_FILES);
	__type(key, __u64);
	__type(value, struct open_file);
} open_files __weak SEC(".maps");

/* agent, peer -> bytes so far. Written by the packet programs, read and cleared by agentd. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_PEERS);
	__type(key, struct peer_key);
	__type(value, struct peer_value);
} peer_bytes __weak SEC(".maps");

/* number of a hold -> request that waits. Written by hold.bpf.c; read by agentd, which finds here after a restart who
 * waits. Full means that the request is denied. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_HOLDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct hold);
} holds __weak SEC(".maps");

/* number of a hold -> verdict. Written by agentd, taken away by the hook that follows it. A miss: it waits. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_HOLDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} hold_answers __weak SEC(".maps");

/* agent and request -> answer to this and every later such request. Written by agentd. A miss: it is held. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_ANSWERS);
	__type(key, struct answered_request);
	__type(value, struct standing_answer);
} standing_answers __weak SEC(".maps");

struct held {
	__u64 id;
	__u64 request[2];
	__u64 syscall; /* hash of the system call in which it was asked: a restart has the same */
	__u32 verdict; /* VERDICT_HOLD while it waits */
	__u32 used;    /* the call went on with this verdict, unless it is restarted for another request */
	__u32 told;    /* load of the programs whose agentd has its record */
	__u32 op;      /* enum path_op, or above for an address */
	__u64 inode;   /* of the object, 0 if it has none */
};

struct siphash {
	__u64 v0, v1, v2, v3;
};

/* What is asked. */
struct question {
	__u64 request[2]; /* hash of agent, program, operation and object; 0 if they could not be told */
	__u64 inode;
	__u32 op;
	__u32 call;
	__u32 is_done;    /* it was decided and done a moment ago, by another hook of the same system call */
	__u32 is_command;
	__u32 is_beneath; /* asked by the same system call a moment after the same question */
	__u32 pad;
};

/* The command line that was asked last. */
struct asked_command {
	__u64 hash;      /* of all arguments */
	__u64 tail_hash; /* of all but the first, for a script: its interpreter takes the place of the first */
	__u32 tail_len;
	__u32 answered;  /* an answer has let it go on */
};

struct task_holds {
	struct held held[HOLDS_PER_TASK];
	struct asked_command command;
	/* From here on for one hook: the stack is too small. */
	struct question question;
	struct siphash state;
	struct hold hold;
	struct answered_request key;
};

/* task -> what its present system call asked. Written and read by hold.bpf.c. A failed creation is REASON_NO_MEMORY. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_holds);
} task_holds __weak SEC(".maps");

struct hash_key {
	__u64 word[2];
};

/* 0 -> key of request hashes. Written once by agentd. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hash_key);
} hash_key __weak SEC(".maps");

/* Records of requests that are held: a ring of their own, so that a flood of others cannot delay them. What does not
 * fit is tried again when the request is asked again. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, HOLD_RING_BYTES);
} held_events __weak SEC(".maps");

/* Records for agentd. A full ring is counted and never changes a verdict. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_RING_BYTES);
} events __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NR_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters __weak SEC(".maps");

/* Lines for a developer; the name is aya-log's. Read by agentctl while somebody listens. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, LOG_RING_BYTES);
} AYA_LOGS __weak SEC(".maps");

/* 0 -> until when lines are wanted, and how detailed: enum log_level in the lowest bits of nanoseconds since boot.
 * Written again and again by agentctl, so that programs fall silent soon after it is gone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} log_listener __weak SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);

	if (value)
		__sync_fetch_and_add(value, 1); /* a preempted program may share the CPU's cell */
}

#endif
