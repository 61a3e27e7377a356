/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * decision.h - what is decided about a request, and what becomes of it.
 */
#ifndef AGENTGUARD_DECISION_H
#define AGENTGUARD_DECISION_H

#include "hook.h"

/* What is written down about a request. */
enum recording {
	RECORD_IT = 0,
	RECORD_NOTHING = 1, /* it has its record */
	RECORD_HELD = 2,    /* it begins to wait: to the ring of held requests */
};

struct decision {
	__u32 answer;
	__u32 verdict; /* of answer, or a deny for reason */
	__u32 reason;
	__u32 op;
	__u32 enforced;
	__u32 effect;    /* enum effect */
	__u32 recording; /* enum recording */
	__u16 told;      /* an earlier agentd has the record */
	__u16 stands;    /* a standing answer has decided */
	__u64 hold;      /* number, 0 if none */
};

/* A deny that no rule says. */
static __always_inline void refuse(struct decision *decision, __u32 reason)
{
	decision->verdict = VERDICT_DENY;
	decision->reason = reason;
	decision->effect = EFFECT_REFUSE;
	count(COUNT_DENIED);
}

#endif
