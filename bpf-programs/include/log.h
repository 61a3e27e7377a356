/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
 *
 * log.h - lines for a developer, in the format of aya-log; `agentctl kernel log` prints them. Nothing is written
 * unless somebody listens, and nothing here ever changes a verdict.
 */
#ifndef AGENTGUARD_LOG_H
#define AGENTGUARD_LOG_H

#include "maps.h"

/* As aya-log numbers them. */
enum log_level { LOG_ERROR = 1, LOG_WARN = 2, LOG_INFO = 3, LOG_DEBUG = 4, LOG_LEVELS = 7 };

enum { LOG_TARGET, LOG_LEVEL, LOG_MODULE, LOG_FILE, LOG_LINE, LOG_ARGUMENTS }; /* fields of every line */
enum { LOG_HINT = 0, LOG_U64 = 9, LOG_STRING = 20 };                           /* kinds of arguments */
enum { LOG_AS_HEX = 2 };                                                       /* hint */

static __always_inline bool log_wanted(__u32 level)
{
	__u32 zero = 0;
	__u64 *listener = bpf_map_lookup_elem(&log_listener, &zero);

	return listener && level <= (*listener & LOG_LEVELS) && bpf_ktime_get_boot_ns() < *listener;
}

#define LOG_PUT(field, kind, from)                      \
	__line->field##_kind = kind;                    \
	__line->field##_size = sizeof(__line->field);   \
	__builtin_memcpy(__line->field, from, sizeof(__line->field))

#define LOG_PUT_NUMBER(field, kind, type, value)                \
	({                                                      \
		type __value = value;                           \
		LOG_PUT(field, kind, (const char *)&__value);   \
	})

#define LOG_FIELD(field, bytes) __u8 field##_kind; __u16 field##_size; char field[bytes]

/* Two literals and two numbers: `developer_log(LOG_DEBUG, "agent ", slot, " answer 0x", answer)`, the second in hex. */
#define developer_log(severity, first, number, second, hex)                             \
	do {                                                                            \
		struct {                                                                \
			__u16 size;                                                     \
			LOG_FIELD(target, sizeof("agentguard") - 1);                    \
			LOG_FIELD(level, 1);                                            \
			LOG_FIELD(module, sizeof("bpf") - 1);                           \
			LOG_FIELD(file, sizeof(__FILE_NAME__) - 1);                     \
			LOG_FIELD(line, 4);                                             \
			LOG_FIELD(arguments, 4);                                        \
			LOG_FIELD(one, sizeof(first) - 1);                              \
			LOG_FIELD(two, 8);                                              \
			LOG_FIELD(three, sizeof(second) - 1);                           \
			LOG_FIELD(hint, 1);                                             \
			LOG_FIELD(four, 8);                                             \
		} __attribute__((packed)) *__line;                                      \
                                                                                        \
		if (!log_wanted(severity))                                              \
			break;                                                          \
		__line = bpf_ringbuf_reserve(&AYA_LOGS, sizeof(*__line), 0);            \
		if (!__line)                                                            \
			break; /* nobody reads fast enough: the newest lines go */      \
		__line->size = sizeof(*__line);                                         \
		LOG_PUT(target, LOG_TARGET, "agentguard");                              \
		LOG_PUT_NUMBER(level, LOG_LEVEL, __u8, severity);                       \
		LOG_PUT(module, LOG_MODULE, "bpf");                                     \
		LOG_PUT(file, LOG_FILE, __FILE_NAME__);                                 \
		LOG_PUT_NUMBER(line, LOG_LINE, __u32, __LINE__);                        \
		LOG_PUT_NUMBER(arguments, LOG_ARGUMENTS, __u32, 5);                     \
		LOG_PUT(one, LOG_STRING, first);                                        \
		LOG_PUT_NUMBER(two, LOG_U64, __u64, number);                            \
		LOG_PUT(three, LOG_STRING, second);                                     \
		LOG_PUT_NUMBER(hint, LOG_HINT, __u8, LOG_AS_HEX);                       \
		LOG_PUT_NUMBER(four, LOG_U64, __u64, hex);                              \
		bpf_ringbuf_submit(__line, 0);                                          \
	} while (0)

#endif
