/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * command.h - the command line of an execve that has begun. It knows the caller's memory and the rules for commands.
 */
#ifndef AGENTGUARD_COMMAND_H
#define AGENTGUARD_COMMAND_H

#include "decision.h"

#define ARGV "argv:"
#define ARGV_LEN (sizeof(ARGV) - 1)

/* Reads the arguments into task_host_path and makes the decision stricter if a rule for commands says so. Returns 0. */
int decide_command(__u32 slot, struct path_request *request, struct decision *decision);

/* The same for a new program, whose arguments are final and of which nothing has run. Records it; returns an enum effect. */
int command_at_birth(struct path_request *request);

/* Whether the kernel has put an interpreter and its arguments before those of the caller. */
static __always_inline bool interpreted(struct linux_binprm *bprm)
{
	return (__u64)bprm->interp != (__u64)bprm->filename;
}

/* Writes down program, arguments and directory, which resolve_directory() found. Returns 1 if the record is in its ring. */
int resolve_directory(void);
int record_command(struct label *label, struct path_request *request, struct decision *decision);

#endif
