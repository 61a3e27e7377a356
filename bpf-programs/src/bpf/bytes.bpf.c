// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * bytes.bpf.c - bytes read and written, summed per open file, and the records of the sums.
 *
 * LSM has no hook that knows how many bytes were moved. Not counted: io_uring and memory mappings. Nothing hooks the
 * close of a file, for which every task of the host would pay: agentd's sweep finds files that are closed.
 */
#include "bytes.h"
#include "record.h"

__u64 last_open_id; /* agentd starts it at a number that no earlier load has used */

/* Records what was moved since the last record. What a full ring has no place for is kept: then this is false. */
static __always_inline bool report(struct open_file *file)
{
	struct label owner = { .slot = file->slot, .serial = file->serial };
	struct decision nothing = {};
	struct file_io_event *record;

	if (!(file->read_bytes || file->written_bytes))
		return true;
	record = reserve_record(struct file_io_event);
	if (!record)
		return false;
	fill_event(&record->head, sizeof(*record), EVENT_FILE_IO, CALL_FILE_IO, &owner, &nothing);
	record->head.caller = file->opener;
	record->open_id = file->open_id;
	record->read_bytes = __sync_lock_test_and_set(&file->read_bytes, 0);
	record->written_bytes = __sync_lock_test_and_set(&file->written_bytes, 0);
	bpf_ringbuf_submit(record, 0);
	return true;
}

__noinline int follow_file(struct path_request *request, __u64 recorded_id, struct label *label)
{
	struct open_file file = {}, *last;
	__u64 key;

	if (!request || !label)
		return 0;
	key = request->file_key;
	last = bpf_map_lookup_elem(&open_files, &key);
	if (last)
		report(last); /* of a file that is closed by now */
	file.inode = (__u64)BPF_CORE_READ((struct file *)key, f_inode);
	file.open_id = recorded_id ?: __sync_fetch_and_add(&last_open_id, 1) + 1;
	file.slot = label->slot;
	file.serial = label->serial;
	fill_caller(&file.opener);
	bpf_map_update_elem(&open_files, &key, &file, BPF_ANY);
	request->file_id = file.open_id;
	return 0;
}

/* Run by agentd each second. A file that is opened in the very moment in which its place is forgotten goes uncounted. */
SEC("iter/bpf_map_elem")
int report_files(struct bpf_iter__bpf_map_elem *ctx)
{
	struct open_file *file = ctx->value;
	__u64 *key = ctx->key, address;
	struct file *place;
	bool closed;

	if (!key || !file)
		return 0;
	address = *key;
	place = (struct file *)address;
	closed = !is_open(place) || (__u64)BPF_CORE_READ(place, f_inode) != file->inode;
	if (report(file) && closed)
		bpf_map_delete_elem(&open_files, &address);
	return 0;
}

static __always_inline void count_bytes(struct file *file, long moved, bool written)
{
	if (governed())
		add_bytes(file, moved, written);
}

SEC("fexit/vfs_read")
int BPF_PROG(after_read, struct file *file, char *buffer, size_t size, void *position, long moved)
{
	count_bytes(file, moved, false);
	return 0;
}

SEC("fexit/vfs_write")
int BPF_PROG(after_write, struct file *file, const char *buffer, size_t size, void *position, long moved)
{
	count_bytes(file, moved, true);
	return 0;
}

SEC("?fexit/vfs_readv")
int BPF_PROG(after_readv, struct file *file, void *vector, unsigned long count, void *position, int flags,
	     long moved)
{
	count_bytes(file, moved, false);
	return 0;
}

SEC("?fexit/vfs_writev")
int BPF_PROG(after_writev, struct file *file, void *vector, unsigned long count, void *position, int flags,
	     long moved)
{
	count_bytes(file, moved, true);
	return 0;
}

SEC("?fexit/vfs_copy_file_range")
int BPF_PROG(after_copy, struct file *from, long from_position, struct file *to, long to_position, size_t size,
	     unsigned int flags, long moved)
{
	count_bytes(from, moved, false);
	count_bytes(to, moved, true);
	return 0;
}

/* sendfile and the like. */
SEC("?fexit/do_splice_direct")
int BPF_PROG(after_splice, struct file *from, void *from_position, struct file *to, void *to_position, size_t size,
	     unsigned int flags, long moved)
{
	count_bytes(from, moved, false);
	count_bytes(to, moved, true);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
