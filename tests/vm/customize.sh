#!/bin/sh
# Turns a fresh Debian root ($1) into the test VM's root. A change here rebuilds the cached image.
set -eu
root=$1

# Users: `dev` is the ordinary person on the host, in the group `agentguard` that may use agentd.
chroot "$root" groupadd --system agentguard
chroot "$root" useradd --create-home --groups agentguard --uid 1000 --shell /bin/bash dev
chroot "$root" passwd --delete root >/dev/null

# A fixed machine id: with none, systemd treats every boot as the first one and presets all units.
echo 6167656e746775617264746573746d31 >"$root/etc/machine-id"
echo agentguard-vm >"$root/etc/hostname"
printf '127.0.0.1 localhost agentguard-vm\n::1 localhost\n' >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
: >"$root/etc/fstab"
: >"$root/etc/default/locale" # PAM logs an error without it
mkdir -p "$root/share"

# Unit generators look for disks, consoles and init scripts that this machine does not have, and each
# one is a process before the first unit starts.
mkdir -p "$root/etc/systemd/system-generators"
for generator in "$root"/usr/lib/systemd/system-generators/* "$root"/lib/systemd/system-generators/*; do
    [ -e "$generator" ] || continue
    ln -sf /dev/null "$root/etc/systemd/system-generators/$(basename "$generator")"
done

# Units that no test needs and that cost boot time under emulation. Devices come from devtmpfs and
# from static nodes, so nothing is lost without udev here.
for unit in \
    apt-daily-upgrade.timer apt-daily.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-tmpfiles-clean.timer \
    getty.target systemd-ask-password-wall.path systemd-ask-password-console.path \
    ldconfig.service systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-update-done.service \
    systemd-firstboot.service systemd-machine-id-commit.service systemd-sysusers.service \
    systemd-binfmt.service systemd-modules-load.service systemd-pstore.service systemd-random-seed.service \
    systemd-remount-fs.service systemd-boot-system-token.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service systemd-quotacheck.service \
    systemd-udevd.service systemd-udev-trigger.service systemd-udev-settle.service \
    systemd-udevd-control.socket systemd-udevd-kernel.socket \
    dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
    proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount \
    prometheus.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# logind starts when somebody logs in (D-Bus activation), not at boot.
rm -f "$root"/lib/systemd/system/multi-user.target.wants/systemd-logind.service \
    "$root"/usr/lib/systemd/system/multi-user.target.wants/systemd-logind.service
