// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * path.bpf.c - from a dentry to the text that rules match.
 *
 * A path is built from its last component towards the root of the mount namespace: right under bind mounts,
 * overlayfs and mount namespaces. chroot does not shorten it, so that a root directory of the task's own choice
 * cannot make another path of the same file. Not covered: a detached or foreign mount, which is "could not tell".
 */
#include "decide.h"

#define MAX_STEPS 8192 /* 2,048 components fit into MAX_PATH; the rest is for mounts, and for walks that begin again */
#define MAX_GIVEN_NAME 1024 /* longer names are "could not tell" */
#define INTERNAL "internal:"
#define INTERNAL_LEN (sizeof(INTERNAL) - 1)
#define MNT_INTERNAL_NS ((__u64)-22) /* MNT_NS_INTERNAL is ERR_PTR(-EINVAL) */

/* Locks whose sequence numbers change with every rename and every mount. */
extern const void rename_lock __ksym __weak;
extern const void mount_lock __ksym __weak;

/* How far it has come is in out->begin: were it here, newer verifiers would follow each of its values. */
struct walk {
	struct path_buffer *out;
	__u64 dentry;
	__u64 mount;      /* struct mount, 0 to stay inside the file system */
	__u64 mount_root;
	__u64 first_dentry;
	__u64 first_mount;
	__u64 first_root;
	__u32 first_offset;
	__u32 status;
	__u32 sequence;   /* of rename_lock when the attempt began */
};

static __always_inline __u64 mount_of(__u64 vfsmount)
{
	return vfsmount - bpf_core_field_offset(struct mount, mnt);
}

static __always_inline __u32 sequence_of(const void *lock)
{
	__u32 sequence = 0;

	if (lock)
		bpf_probe_read_kernel(&sequence, sizeof(sequence), lock);
	return sequence;
}

__noinline __u64 places_version(void)
{
	if (!&rename_lock || !&mount_lock)
		return 0;
	return (__u64)sequence_of(&rename_lock) << 32 | sequence_of(&mount_lock);
}

static __always_inline void begin_walk(struct walk *walk)
{
	walk->dentry = walk->first_dentry;
	walk->mount = walk->first_mount;
	walk->mount_root = walk->first_root;
	walk->out->begin = walk->first_offset;
	walk->sequence = sequence_of(&rename_lock);
}

/* The top is reached. A rename anywhere since the walk began could have mixed two paths: once more then, until the
 * steps run out, which is "could not tell". */
static __always_inline long end_walk(struct walk *walk)
{
	if (walk->sequence & 1 || walk->sequence != sequence_of(&rename_lock)) {
		begin_walk(walk);
		return 0;
	}
	walk->status = RESOLVED;
	return 1;
}

/* Leaves the mount for the one it is mounted on; returns 1 at the top. */
static __always_inline long leave_mount(struct walk *walk)
{
	struct mount *mount = (void *)walk->mount;
	struct mount *parent = BPF_CORE_READ(mount, mnt_parent);

	if (parent == mount)
		return end_walk(walk);
	walk->dentry = (__u64)BPF_CORE_READ(mount, mnt_mountpoint);
	walk->mount = (__u64)parent;
	walk->mount_root = (__u64)BPF_CORE_READ(parent, mnt.mnt_root);
	return 0;
}

static long step_up(__u32 index, struct walk *walk)
{
	struct path_buffer *out = walk->out;
	struct dentry *dentry = (void *)walk->dentry;
	__u32 offset = out->begin, len;
	struct component component;

	if (walk->dentry == walk->mount_root)
		return leave_mount(walk);
	if (read_component(dentry, &component))
		return 1;
	if (component.parent == dentry) /* a root; if not of this mount, disconnected or moved out of a bind mount */
		return walk->mount ? 1 : end_walk(walk);
	len = component.name.len;
	if (len > 255 || offset < len + 1 || offset > MAX_PATH) {
		walk->status = UNRESOLVED_TOO_LONG;
		return 1;
	}
	offset -= len;
	if (bpf_probe_read_kernel(&out->text[offset & (MAX_PATH - 1)], len & 255, component.name.name))
		return 1;
	offset -= 1;
	out->text[offset & (MAX_PATH - 1)] = '/';
	out->begin = offset;
	walk->dentry = (__u64)component.parent;
	return 0;
}

/* Writes what lies before offset. "/" itself is written as "/". Stores where the walk ended in top. */
static __always_inline int walk_up(__u64 dentry, __u64 mount, __u64 root, struct path_buffer *out, __u32 offset,
				   __u64 *top)
{
	struct walk walk = {
		.out = out,
		.status = UNRESOLVED,
		.first_dentry = dentry,
		.first_mount = mount,
		.first_root = root,
		.first_offset = offset,
	};

	begin_walk(&walk);
	bpf_loop(MAX_STEPS, step_up, &walk, 0);
	*top = walk.mount;
	if (out->begin >= MAX_PATH) {
		out->begin = MAX_PATH - 1;
		out->text[MAX_PATH - 1] = '/';
	}
	out->end = MAX_PATH;
	return walk.status;
}

/* For objects that are in no mount namespace by design: only their own name. */
static __always_inline int name_internal(__u64 dentry, struct path_buffer *out)
{
	struct qstr name = {};
	__u32 len;

	bpf_core_read(&name, sizeof(name), &((struct dentry *)dentry)->d_name);
	len = name.len > 200 ? 200 : name.len;
	out->begin = 0;
	out->end = INTERNAL_LEN + len;
	__builtin_memcpy(out->text, INTERNAL, INTERNAL_LEN);
	bpf_probe_read_kernel(&out->text[INTERNAL_LEN], len & 255, name.name);
	return RESOLVED_KERNEL_INTERNAL;
}

__noinline int resolve_path(__u64 dentry, __u64 vfsmount, __u32 flags, struct path_buffer *out)
{
	__u64 mount, root, top = 0, own, ns;
	int status = UNRESOLVED;

	if (!out)
		return UNRESOLVED;
	mount = mount_of(vfsmount);
	if ((__u64)BPF_CORE_READ((struct mount *)mount, mnt_ns) == MNT_INTERNAL_NS)
		return name_internal(dentry, out);
	root = (__u64)BPF_CORE_READ((struct vfsmount *)vfsmount, mnt_root);

	status = walk_up(dentry, mount, root, out, MAX_PATH, &top);
	if (status != RESOLVED || flags & ANY_NAMESPACE)
		return status;
	ns = (__u64)BPF_CORE_READ((struct mount *)top, mnt_ns);
	own = (__u64)bpf_get_current_task_btf()->nsproxy->mnt_ns;
	return ns && ns == own ? RESOLVED : UNRESOLVED;
}

__noinline int is_host_mount(__u64 vfsmount)
{
	struct mount *mount = (void *)mount_of(vfsmount);
	__u32 device = BPF_CORE_READ((struct vfsmount *)vfsmount, mnt_sb, s_dev);
	struct host_mount *known = bpf_map_lookup_elem(&host_mounts, &device);

	return known && known->mount_id == (__u32)BPF_CORE_READ(mount, mnt_id);
}

__noinline int resolve_host_path(__u64 dentry, struct path_buffer *out)
{
	__u32 device, begin, len;
	struct host_mount *known;
	__u64 top;
	int status;

	if (!out)
		return UNRESOLVED;
	status = walk_up(dentry, 0, 0, out, MAX_PATH, &top);
	if (status != RESOLVED)
		return status;
	device = BPF_CORE_READ((struct dentry *)dentry, d_sb, s_dev);
	known = bpf_map_lookup_elem(&host_mounts, &device);
	if (!known || known->prefix_len == 0)
		return RESOLVED;
	begin = out->begin;
	len = known->prefix_len;
	if (begin == MAX_PATH - 1 && out->text[MAX_PATH - 1] == '/')
		begin = MAX_PATH; /* the root of the file system is the mount point itself */
	if (len > 255 || begin < len || begin > MAX_PATH)
		return UNRESOLVED_TOO_LONG;
	begin -= len;
	bpf_probe_read_kernel(&out->text[begin & (MAX_PATH - 1)], len & 255, known->prefix);
	out->begin = begin;
	return RESOLVED;
}

/* A function that is verified by itself: what it returns is any number, not one for each way to it. */
__noinline __u32 text_length(struct path_buffer *text)
{
	if (!text || text->end > MAX_PATH || text->end <= text->begin)
		return 0;
	return text->end - text->begin;
}

/* The path of a name as a program gave it, below a directory. Only for records of what has happened. */
__noinline int resolve_name(__u64 dir, __u64 vfsmount, __u64 name, struct path_buffer *out)
{
	__u32 begin, skip = 0;
	__u64 root, top;
	long len;

	if (!out)
		return UNRESOLVED;
	len = bpf_probe_read_user_str(out->text, MAX_GIVEN_NAME, (void *)name);
	if (len <= 1 || len > MAX_GIVEN_NAME)
		return UNRESOLVED;
	if (out->text[0] == '/') {
		out->begin = 0;
		out->end = len - 1;
		return RESOLVED;
	}
	if (!dir || !vfsmount)
		return UNRESOLVED;
	if (out->text[0] == '.' && out->text[1] == '/')
		skip = 2;
	len -= 1 + skip;
	if (len < 1)
		return UNRESOLVED;
	begin = MAX_PATH - len;
	bpf_probe_read_kernel(&out->text[begin & (MAX_PATH - 1)], len & (MAX_GIVEN_NAME - 1), &out->text[skip]);
	begin--;
	out->text[begin & (MAX_PATH - 1)] = '/';
	root = (__u64)BPF_CORE_READ((struct vfsmount *)vfsmount, mnt_root);
	return walk_up(dir, mount_of(vfsmount), root, out, begin, &top);
}
