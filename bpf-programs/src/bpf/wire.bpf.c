// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * wire.bpf.c - keeps every type of wire.h in BTF, where agentd's types are generated from. Runs nothing.
 */
#include "hook.h"

struct wire_types {
	enum limits limits;
	enum verdict verdict;
	enum mode mode;
	enum layer layer;
	enum answer_bits answer_bits;
	enum path_op path_op;
	enum address_op address_op;
	enum class_op class_op;
	enum reason reason;
	enum event_kind event_kind;
	enum call call;
	enum counter counter;
	struct automaton automaton;
	struct range range;
	struct file_event file;
	struct file_io_event file_io;
	struct address_event address;
	struct class_event class_;
	struct fork_event fork;
	struct exec_event exec;
	struct exit_event exit;
	struct credentials_event credentials;
	struct resolved_event resolved;
};

const volatile struct wire_types wire_types = {};
