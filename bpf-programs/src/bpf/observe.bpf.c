// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * observe.bpf.c - files by system calls, for kernels that refuse both kinds of LSM attachment.
 *
 * Runs when a call has succeeded and asks the rules the same question about the same kernel object, so that the
 * record says what would have been denied. Blocks nothing. Every task of the host pays for one look at its label
 * here, which is why the better back ends do without. Not covered: io_uring, 32-bit calls, memory mappings.
 */
#include "bytes.h"
#include "decide.h"

/* x86-64 system calls. */
enum {
	NR_READ = 0, NR_WRITE = 1, NR_OPEN = 2, NR_PREAD = 17, NR_PWRITE = 18, NR_READV = 19, NR_WRITEV = 20,
	NR_SENDFILE = 40, NR_TRUNCATE = 76, NR_FTRUNCATE = 77, NR_RENAME = 82, NR_MKDIR = 83, NR_RMDIR = 84,
	NR_CREAT = 85, NR_LINK = 86, NR_UNLINK = 87, NR_SYMLINK = 88, NR_CHMOD = 90, NR_FCHMOD = 91, NR_CHOWN = 92,
	NR_FCHOWN = 93, NR_MKNOD = 133, NR_OPENAT = 257, NR_MKDIRAT = 258, NR_MKNODAT = 259, NR_FCHOWNAT = 260,
	NR_UNLINKAT = 263, NR_RENAMEAT = 264, NR_LINKAT = 265, NR_SYMLINKAT = 266, NR_FCHMODAT = 268,
	NR_RENAMEAT2 = 316, NR_COPY_FILE_RANGE = 326, NR_OPENAT2 = 437,
};

#define AT_CWD (-100)
#define AT_REMOVEDIR 0x200
#define MAX_FD 1048576

static __always_inline struct file *file_of(int fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = 0;

	if (fd < 0 || fd >= MAX_FD || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	files = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}

static __always_inline void observe_open(int fd)
{
	struct path_request request = { .call = CALL_OPEN, .flags = HAS_FILE, .also = NO_OP };
	struct file *file = file_of(fd);
	__u32 mode;

	if (!file)
		return;
	mode = BPF_CORE_READ(file, f_mode);
	request.op = mode & FMODE_WRITE ? PATH_WRITE : PATH_READ;
	if (mode & FMODE_WRITE && mode & FMODE_READ)
		request.also = PATH_READ;
	if (mode & FMODE_CREATED) {
		request.call = CALL_CREATE;
		request.op = request.also = PATH_CREATE;
	}
	request.dentry = (__u64)BPF_CORE_READ(file, f_path.dentry);
	request.mount = (__u64)BPF_CORE_READ(file, f_path.mnt);
	request.open_flags = BPF_CORE_READ(file, f_flags);
	request.file_key = (__u64)file;
	enforce_path(&request);
}

/* The object of a call that takes a descriptor. */
static __always_inline void observe_file(int fd, __u32 call, __u32 op, __u32 mode)
{
	struct path_request request = { .call = call, .op = op, .also = NO_OP, .mode = mode };
	struct file *file = file_of(fd);

	if (!file)
		return;
	request.dentry = (__u64)BPF_CORE_READ(file, f_path.dentry);
	request.mount = (__u64)BPF_CORE_READ(file, f_path.mnt);
	enforce_path(&request);
}

/* The name of a call that takes a directory and a path: as given, the directory as the kernel has it. The name
 * may be gone by now, so this text is not the kernel's own. */
static __always_inline void observe_name(int dir, unsigned long name, __u32 call, __u32 op)
{
	struct path_request request = { .call = call, .op = op, .also = NO_OP, .flags = IS_NAME };
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file;

	if (dir == AT_CWD) {
		request.dentry = (__u64)BPF_CORE_READ(task, fs, pwd.dentry);
		request.mount = (__u64)BPF_CORE_READ(task, fs, pwd.mnt);
	} else {
		file = file_of(dir);
		request.dentry = file ? (__u64)BPF_CORE_READ(file, f_path.dentry) : 0;
		request.mount = file ? (__u64)BPF_CORE_READ(file, f_path.mnt) : 0;
	}
	request.text = name;
	enforce_path(&request);
}

/* Names in two places: each is its own record. */
static __always_inline void observe_pair(int from_dir, unsigned long from, int to_dir, unsigned long to, __u32 call,
					 __u32 from_op)
{
	observe_name(from_dir, from, call, from_op);
	observe_name(to_dir, to, call, PATH_CREATE);
}

static __always_inline void observe_descriptor_call(long number, int fd, long result)
{
	switch (number) {
	case NR_READ: case NR_PREAD: case NR_READV:
		return add_bytes(file_of(fd), result, false);
	case NR_WRITE: case NR_PWRITE: case NR_WRITEV:
		return add_bytes(file_of(fd), result, true);
	case NR_FTRUNCATE:
		return observe_file(fd, CALL_TRUNCATE, PATH_WRITE, 0);
	case NR_FCHMOD:
		return observe_file(fd, CALL_CHMOD, PATH_ATTR, 0);
	case NR_FCHOWN:
		return observe_file(fd, CALL_CHOWN, PATH_ATTR, 0);
	}
}

/* Turns a call on one name into its directory, name and question; 0 if it is not one. */
struct name_call {
	int dir;
	__u32 call;
	__u32 op;
	unsigned long name;
};

static __always_inline bool name_call(long number, struct pt_regs *regs, struct name_call *out)
{
	unsigned long first = BPF_CORE_READ(regs, di), second = BPF_CORE_READ(regs, si);

	out->dir = AT_CWD;
	out->name = first;
	if (number >= NR_OPENAT) {
		out->dir = first;
		out->name = second;
	}
	switch (number) {
	case NR_UNLINK:
		out->call = CALL_UNLINK;
		out->op = PATH_DELETE;
		return true;
	case NR_RMDIR:
		out->call = CALL_RMDIR;
		out->op = PATH_DELETE;
		return true;
	case NR_UNLINKAT:
		out->call = BPF_CORE_READ(regs, dx) & AT_REMOVEDIR ? CALL_RMDIR : CALL_UNLINK;
		out->op = PATH_DELETE;
		return true;
	case NR_MKDIR: case NR_MKDIRAT:
		out->call = CALL_MKDIR;
		out->op = PATH_CREATE;
		return true;
	case NR_MKNOD: case NR_MKNODAT:
		out->call = CALL_MKNOD;
		out->op = PATH_CREATE;
		return true;
	case NR_TRUNCATE:
		out->call = CALL_TRUNCATE;
		out->op = PATH_WRITE;
		return true;
	case NR_CHMOD: case NR_FCHMODAT:
		out->call = CALL_CHMOD;
		out->op = PATH_ATTR;
		return true;
	case NR_CHOWN: case NR_FCHOWNAT:
		out->call = CALL_CHOWN;
		out->op = PATH_ATTR;
		return true;
	}
	return false;
}

static __always_inline void observe_pair_call(long number, struct pt_regs *regs)
{
	unsigned long first = BPF_CORE_READ(regs, di), second = BPF_CORE_READ(regs, si);
	unsigned long third = BPF_CORE_READ(regs, dx), fourth = BPF_CORE_READ(regs, r10);

	switch (number) {
	case NR_RENAME:
		return observe_pair(AT_CWD, first, AT_CWD, second, CALL_RENAME, PATH_DELETE);
	case NR_RENAMEAT: case NR_RENAMEAT2:
		return observe_pair(first, second, third, fourth, CALL_RENAME, PATH_DELETE);
	case NR_LINK:
		return observe_pair(AT_CWD, first, AT_CWD, second, CALL_LINK, PATH_LINK);
	case NR_LINKAT:
		return observe_pair(first, second, third, fourth, CALL_LINK, PATH_LINK);
	case NR_SYMLINK:
		return observe_name(AT_CWD, second, CALL_SYMLINK, PATH_CREATE);
	case NR_SYMLINKAT:
		return observe_name(second, third, CALL_SYMLINK, PATH_CREATE);
	case NR_SENDFILE:
		add_bytes(file_of(second), BPF_CORE_READ(regs, ax), false);
		return add_bytes(file_of(first), BPF_CORE_READ(regs, ax), true);
	case NR_COPY_FILE_RANGE:
		add_bytes(file_of(first), BPF_CORE_READ(regs, ax), false);
		return add_bytes(file_of(third), BPF_CORE_READ(regs, ax), true);
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(after_open_call, struct pt_regs *regs, long result)
{
	long number;

	if (result < 0 || !governed())
		return 0;
	number = BPF_CORE_READ(regs, orig_ax);
	if (number == NR_OPEN || number == NR_OPENAT || number == NR_OPENAT2 || number == NR_CREAT)
		observe_open(result);
	else
		observe_descriptor_call(number, BPF_CORE_READ(regs, di), result);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(after_name_call, struct pt_regs *regs, long result)
{
	struct name_call call = {};

	if (result < 0 || !governed())
		return 0;
	if (name_call(BPF_CORE_READ(regs, orig_ax), regs, &call))
		observe_name(call.dir, call.name, call.call, call.op);
	else
		observe_pair_call(BPF_CORE_READ(regs, orig_ax), regs);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
