// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * file.bpf.c - files: open, names, attributes, shared and executable mappings, received descriptors.
 *
 * Decides on the object that the kernel resolved, never on the text that the program passed. Reading and writing
 * through a descriptor is decided when it is opened or received. Not covered: stat, access and readlink, and
 * descriptors that a task held before it was governed.
 */
#include "bytes.h"
#include "decide.h"
#include "hold.h"

#define PROT_WRITE 2
#define MAP_SHARED 1
#define ATTR_MODE 1
#define ATTR_UID 2
#define ATTR_GID 4
#define ATTR_SIZE 8
#define ATTR_ATIME 16
#define ATTR_MTIME 32
#define RENAME_EXCHANGE 2
#define SPREAD 0x9e3779b97f4a7c15ULL /* 2^64 by the golden ratio: neighbours end up far from each other */

static __always_inline __u64 mount_of_path(const struct path *path)
{
	return (__u64)path->mnt;
}

/* A request on an existing object that is reached by a path. */
static __always_inline int enforce_existing(const struct path *path, __u32 call, __u32 op, __u32 mode)
{
	struct path_request request = {
		.call = call,
		.op = op,
		.also = NO_OP,
		.dentry = (__u64)path->dentry,
		.mount = mount_of_path(path),
		.mode = mode,
	};

	return outcome(enforce_path(&request));
}

/* A request on a name in a directory. */
static __always_inline int enforce_name(const struct path *dir, struct dentry *dentry, __u32 call, __u32 op,
					__u32 mode)
{
	struct path_request request = {
		.call = call,
		.op = op,
		.also = NO_OP,
		.dentry = (__u64)dentry,
		.mount = mount_of_path(dir),
		.mode = mode,
	};

	return outcome(enforce_path(&request));
}

/* What the access mode of an open file asks for. */
static __always_inline void ask_for_access(struct path_request *request, __u32 file_mode)
{
	request->op = file_mode & FMODE_WRITE ? PATH_WRITE : PATH_READ;
	request->also = file_mode & FMODE_WRITE && file_mode & FMODE_READ ? PATH_READ : NO_OP;
	if (file_mode & FMODE_CREATED) /* its creation was decided a moment ago */
		request->op = request->also = PATH_CREATE;
}

/* Whose rules decide. */
static __always_inline bool same_rules(const struct recent_open *open, const struct agent *agent)
{
	return agent && open->serial == agent->serial && open->generation == agent->generation &&
	       open->rules == agent->rules;
}

static __always_inline void describe_open(struct file *file, const struct path_request *request,
					  const struct agent *agent, struct recent_open *out)
{
	struct task_struct *task = bpf_get_current_task_btf();

	out->dentry = request->dentry;
	out->mount = request->mount;
	out->namespace = (__u64)task->nsproxy->mnt_ns;
	out->inode = file->f_inode->i_ino;
	out->device = file->f_inode->i_sb->s_dev;
	out->inode_generation = file->f_inode->i_generation;
	inode_changed(file->f_inode, &out->changed_sec, &out->changed_nsec);
	out->open_flags = request->open_flags;
	out->op = request->op;
	out->also = request->also;
	out->places = places_version();
	out->serial = agent->serial;
	out->generation = agent->generation;
	out->rules = agent->rules;
	out->executions = task->self_exec_id;
	out->uid_gid = bpf_get_current_uid_gid();
	out->time_ns = bpf_ktime_get_boot_ns();
}

static __always_inline bool repeats(const struct recent_open *open, const struct recent_open *last)
{
	const __u64 *one = (const void *)open, *other = (const void *)last;
	__u64 differ = 0;

	for (__u32 word = 0; word < offsetof(struct recent_open, time_ns) / sizeof(*one); word++)
		differ |= one[word] ^ other[word];
	return !differ && open->places && open->time_ns - last->time_ns < FOLD_MS * 1000000ULL;
}

SEC("lsm/file_open")
int BPF_PROG(on_file_open, struct file *file)
{
	struct path_request request = {};
	struct agent *agent = own_agent();
	struct task_struct *task;
	struct recent_opens *recent;
	struct recent_open *last;
	__u32 flags;
	int effect;

	if (!agent)
		return 0;
	flags = file->f_flags;
	if (flags & FMODE_EXEC_FLAG)
		return 0; /* decided by exec.bpf.c on the same file */
	request.call = CALL_OPEN;
	request.dentry = (__u64)file->f_path.dentry;
	request.mount = (__u64)file->f_path.mnt;
	request.open_flags = flags;
	request.flags = file->f_mode & FMODE_NOACCOUNT ? HAS_FILE | IS_BENEATH : HAS_FILE;
	request.file_key = (__u64)file;
	ask_for_access(&request, file->f_mode);
	task = bpf_get_current_task_btf();
	recent = bpf_task_storage_get(&task_opens, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!recent)
		return outcome(enforce_path(&request));
	describe_open(file, &request, agent, &recent->now);
	last = &recent->by_hash[(recent->now.inode ^ recent->now.op) * SPREAD >> 32 & (RECENT_OPENS - 1)];
	if (repeats(&recent->now, last) && (!last->answer[0] || answer_stands(last))) {
		follow_file(&request, last->id, label_of(task));
		count(COUNT_FOLDED);
		return 0;
	}
	effect = enforce_path(&request);
	if (effect != EFFECT_GO_ON)
		return outcome(effect);
	/* Rules that came while it was decided may have decided it, or may not. */
	if (request.recorded && request.file_id && same_rules(&recent->now, own_agent())) {
		*last = recent->now;
		last->id = request.file_id;
		if (request.recorded == RECORDED_BY_ANSWER && !remember_answer(last))
			last->time_ns = 0; /* nothing repeats it */
	}
	return 0;
}

SEC("lsm/path_mknod")
int BPF_PROG(on_path_mknod, const struct path *dir, struct dentry *dentry, unsigned short mode, unsigned int dev)
{
	__u32 type = mode & S_IFMT;

	if (!governed())
		return 0;
	return enforce_name(dir, dentry, type == S_IFREG || type == 0 ? CALL_CREATE : CALL_MKNOD, PATH_CREATE, mode);
}

SEC("lsm/path_mkdir")
int BPF_PROG(on_path_mkdir, const struct path *dir, struct dentry *dentry, unsigned short mode)
{
	if (!governed())
		return 0;
	return enforce_name(dir, dentry, CALL_MKDIR, PATH_CREATE, mode | S_IFDIR);
}

SEC("lsm/path_symlink")
int BPF_PROG(on_path_symlink, const struct path *dir, struct dentry *dentry, const char *old_name)
{
	if (!governed())
		return 0;
	return enforce_name(dir, dentry, CALL_SYMLINK, PATH_CREATE, 0);
}

SEC("lsm/path_unlink")
int BPF_PROG(on_path_unlink, const struct path *dir, struct dentry *dentry)
{
	if (!governed())
		return 0;
	return enforce_name(dir, dentry, CALL_UNLINK, PATH_DELETE, 0);
}

SEC("lsm/path_rmdir")
int BPF_PROG(on_path_rmdir, const struct path *dir, struct dentry *dentry)
{
	if (!governed())
		return 0;
	return enforce_name(dir, dentry, CALL_RMDIR, PATH_DELETE, 0);
}

/* Both names are in the mount of the new directory: the kernel refuses links across mounts. */
SEC("lsm/path_link")
int BPF_PROG(on_path_link, struct dentry *old_dentry, const struct path *new_dir, struct dentry *new_dentry)
{
	struct path_request request = {
		.call = CALL_LINK,
		.op = PATH_LINK,
		.also = NO_OP,
		.dentry = (__u64)old_dentry,
		.other_dentry = (__u64)new_dentry,
		.other_op = PATH_CREATE,
	};

	if (!governed())
		return 0;
	request.mount = request.other_mount = mount_of_path(new_dir);
	return outcome(enforce_path(&request));
}

/* The old name goes; the new one is made, or what it names is overwritten. An exchange is both ways. */
SEC("lsm/path_rename")
int BPF_PROG(on_path_rename, const struct path *old_dir, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry)
{
	struct path_request request = {
		.call = CALL_RENAME,
		.op = PATH_DELETE,
		.also = NO_OP,
		.dentry = (__u64)old_dentry,
		.other_dentry = (__u64)new_dentry,
	};
	__u64 dentry, mount;
	int effect;

	if (!governed())
		return 0;
	request.mount = mount_of_path(old_dir);
	request.other_mount = mount_of_path(new_dir);
	request.other_op = new_dentry->d_inode ? PATH_WRITE : PATH_CREATE;
	/* The flags came with 5.19 (100f59d96405), which the helpers of this object need too. */
	request.open_flags = (__u32)ctx[4];
	effect = enforce_path(&request);
	if (effect != EFFECT_GO_ON)
		return outcome(effect);
	if (!(request.open_flags & RENAME_EXCHANGE))
		return 0;
	dentry = request.dentry;
	mount = request.mount;
	request.dentry = request.other_dentry;
	request.mount = request.other_mount;
	request.other_dentry = dentry;
	request.other_mount = mount;
	request.other_op = PATH_WRITE;
	request.flags = QUIET; /* one record for one call, unless this half is what is denied */
	return outcome(enforce_path(&request));
}

SEC("lsm/path_truncate")
int BPF_PROG(on_path_truncate, const struct path *path)
{
	if (!governed())
		return 0;
	return enforce_existing(path, CALL_TRUNCATE, PATH_WRITE, 0);
}

/* Its own hook since 6.2 (3350607dc563); before, ftruncate is path_truncate. */
SEC("?lsm/file_truncate")
int BPF_PROG(on_file_truncate, struct file *file)
{
	struct path_request request = { .call = CALL_TRUNCATE, .op = PATH_WRITE, .also = NO_OP };

	if (!governed())
		return 0;
	request.dentry = (__u64)file->f_path.dentry;
	request.mount = (__u64)file->f_path.mnt;
	return outcome(enforce_path(&request));
}

SEC("lsm/path_chmod")
int BPF_PROG(on_path_chmod, const struct path *path, unsigned short mode)
{
	if (!governed())
		return 0;
	return enforce_existing(path, CALL_CHMOD, PATH_ATTR, mode);
}

SEC("lsm/path_chown")
int BPF_PROG(on_path_chown, const struct path *path)
{
	if (!governed())
		return 0;
	return enforce_existing(path, CALL_CHOWN, PATH_ATTR, 0);
}

/* A change of attributes by a hook that knows only the dentry. */
static __always_inline int enforce_attribute(__u64 dentry, __u32 call)
{
	struct path_request request = { .call = call, .op = PATH_ATTR, .also = NO_OP, .dentry = dentry };

	return outcome(enforce_path(&request));
}

/* Only utimes: the other attributes have hooks with a path. */
static __always_inline int on_setattr(__u64 dentry, __u64 attributes)
{
	__u32 valid;

	if (!governed())
		return 0;
	valid = BPF_CORE_READ((struct iattr *)attributes, ia_valid);
	if (!(valid & (ATTR_ATIME | ATTR_MTIME)) || valid & (ATTR_SIZE | ATTR_MODE | ATTR_UID | ATTR_GID))
		return 0;
	return enforce_attribute(dentry, CALL_UTIMES);
}

/* The idmap came first in 6.9 (4d1a6d1d2d6c); agentd loads the one that fits. */
SEC("?lsm/inode_setattr")
int BPF_PROG(on_inode_setattr, struct dentry *dentry, struct iattr *attributes)
{
	return on_setattr((__u64)dentry, (__u64)attributes);
}

SEC("?lsm/inode_setattr")
int BPF_PROG(on_inode_setattr_idmap, void *idmap, struct dentry *dentry, struct iattr *attributes)
{
	return on_setattr((__u64)dentry, (__u64)attributes);
}

SEC("lsm/inode_setxattr")
int BPF_PROG(on_inode_setxattr, void *idmap, struct dentry *dentry)
{
	if (!governed())
		return 0;
	return enforce_attribute((__u64)dentry, CALL_XATTR);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(on_inode_removexattr, void *idmap, struct dentry *dentry)
{
	if (!governed())
		return 0;
	return enforce_attribute((__u64)dentry, CALL_XATTR);
}

/* Since 6.2 these are no extended attributes any more. They change the mode, too. */
SEC("?lsm/inode_set_acl")
int BPF_PROG(on_inode_set_acl, void *idmap, struct dentry *dentry)
{
	if (!governed())
		return 0;
	return enforce_attribute((__u64)dentry, CALL_XATTR);
}

SEC("?lsm/inode_remove_acl")
int BPF_PROG(on_inode_remove_acl, void *idmap, struct dentry *dentry)
{
	if (!governed())
		return 0;
	return enforce_attribute((__u64)dentry, CALL_XATTR);
}

/* A descriptor by SCM_RIGHTS or pidfd_getfd: as if the task opened the object itself. Sockets: net.bpf.c. */
SEC("lsm/file_receive")
int BPF_PROG(on_file_receive, struct file *file)
{
	struct path_request request = { .call = CALL_RECEIVE_FD, .flags = HAS_FILE };

	if (!governed() || (file->f_inode->i_mode & S_IFMT) == S_IFSOCK)
		return 0;
	request.dentry = (__u64)file->f_path.dentry;
	request.mount = (__u64)file->f_path.mnt;
	request.open_flags = file->f_flags;
	request.file_key = (__u64)file;
	ask_for_access(&request, file->f_mode & ~FMODE_CREATED);
	return outcome(enforce_path(&request));
}

/* A shared writable mapping of a file that was not opened under the rules, else it was decided at its open. */
SEC("lsm/mmap_file")
int BPF_PROG(on_shared_mmap, struct file *file)
{
	struct path_request request = { .call = CALL_MMAP, .op = PATH_WRITE, .also = NO_OP };

	if (!file || !(mmap_protection(ctx) & PROT_WRITE) || !(mmap_flags(ctx) & MAP_SHARED) || !governed())
		return 0;
	if (!(file->f_mode & FMODE_WRITE))
		return 0; /* the kernel itself refuses */
	request.flags = followed(file) ? QUIET : 0;
	request.dentry = (__u64)file->f_path.dentry;
	request.mount = (__u64)file->f_path.mnt;
	return outcome(enforce_path(&request));
}

char LICENSE[] SEC("license") = "GPL";
