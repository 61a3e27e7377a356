/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * hold.h - requests that wait for policy or a person. It knows tasks, answers and signals, and no rule.
 */
#ifndef AGENTGUARD_HOLD_H
#define AGENTGUARD_HOLD_H

#include "decision.h"

#define TS_COMPAT 0x2 /* of a thread: it is in a 32-bit system call */

/* First one of these writes down what is asked, in the task's own place; the same request of the same program has the
 * same hash each time. Texts are in the task's buffers, as decide_object() left them. Then hold_request() decides it: by a
 * standing answer, by the answer to this very request, or by letting it wait. All return 0. */
int ask_path(struct label *label, struct path_request *request);
int ask_address(struct label *label, struct address_request *request);
int hold_request(struct label *label, struct decision *decision);

/* The standing answer that has let this open go on; 0 if it was not taken down. Whether it is still one. */
int remember_answer(struct recent_open *open);
int answer_stands(struct recent_open *open);

enum answered {
	ANSWERED_NOTHING = 0, /* the rules alone let it go on */
	ANSWERED_THIS = 1,
	ANSWERED_ANOTHER = 2,
};

/* An execve begins; returns 0. */
int begin_command(void);

/* Whether the command line of a new program, in task_host_path, is the one that an answer has let go on. */
int command_was_answered(struct path_request *request);

/* agentd has the record of this hold. Returns 0. */
int hold_is_told(__u64 id);

/* The task ends: nobody waits any more. Returns 0. */
int withdraw_holds(void);

#endif
