# What goes wrong on hosts: full disks, a dead journal, a clock that jumps, no memory, damaged files. Enforcement goes on
# through all of it.
rm -f /home/dev/project/*
dev touch /home/dev/project/tries
agent --name steady -- sh -c '
    while [ ! -e /home/dev/project/enough ]; do
        if cat /home/dev/.ssh/id_ed25519 2>/dev/null; then echo READ; else echo denied; fi >>/home/dev/project/tries
        sleep 0.2
    done' >/dev/null 2>&1 &
# steady: the agent tries now, and gets nothing.
steady() {
    dev truncate --size 0 /home/dev/project/tries
    eventually 20 sh -c 'test "$(grep -c denied /home/dev/project/tries)" -ge 3' && ! grep -q READ /home/dev/project/tries
}
check "an agent tries all the time" steady

# A disk that is full: state on a file system of its own, which a test can fill.
systemctl stop agentd
mkdir /var/lib/agentguard.kept
cp -a /var/lib/agentguard/. /var/lib/agentguard.kept
size=$(du --summarize --block-size 1M /var/lib/agentguard.kept | cut -f 1)
mount -t tmpfs -o "size=$((size + 24))M,mode=0700" none /var/lib/agentguard
cp -a /var/lib/agentguard.kept/. /var/lib/agentguard
systemctl start agentd
dd if=/dev/zero of=/var/lib/agentguard/filler bs=1M 2>/dev/null
check "with a full disk the agent is denied as ever" steady
check "agentd runs on" systemctl is-active agentd
check "and starts nobody, as it could not write that down" fails "audit log" agent -- true
check "its status says so" says "the audit log can not be written" agentctl status
check "and its metrics" eventually 30 sh -c 'curl --silent http://127.0.0.1:9464/metrics | grep -qx "agentguard_audit_ok 0.0"'
check "and the journal" says "the audit log in .* can not be written" journalctl --boot --unit agentd --no-pager
rm /var/lib/agentguard/filler
check "with room again it does" eventually 60 agent -- true
check "and the audit log holds together" agentctl audit verify
systemctl stop agentd
umount /var/lib/agentguard
rm -r /var/lib/agentguard.kept
systemctl start agentd

# No journal.
systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald 2>/dev/null
check "without a journal the agent is denied as ever" steady
check "and agentd answers" agentctl status
systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald
check "and goes on" systemctl is-active agentd

# A clock that jumps.
now=$(date +%s)
date --set "@$((now + 172800))" >/dev/null
check "two days ahead the agent is denied as ever" steady
check "agentd is well" agentctl status
date --set "@$now" >/dev/null
check "back again, too" steady
check "agentd is well again" agentctl status
check "and the audit log holds together" agentctl audit verify

# Root takes the agent out of its cgroup, and the cgroup is gone.
steady_pid=$(pgrep --newest --full 'project/enough')
cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$steady_pid/cgroup")
for pid in $(cat "$cgroup/cgroup.procs"); do echo "$pid" >/sys/fs/cgroup/cgroup.procs; done
check "its cgroup is gone" eventually 30 test ! -d "$cgroup"
check "outside of its cgroup the agent is denied as ever" steady
check "and agentd still knows it" says '"steady"' agentctl agents -o json

# No memory: the kernel ends the agent that takes it all, and not agentd.
agentd_before=$(systemctl show --property MainPID --value agentd)
systemctl set-property --runtime agents.slice MemoryMax=150M MemorySwapMax=0
fails "" agent --name greedy -- python3 -c '
hoard = []
while True:
    hoard.append(bytearray(b"x" * (1 << 20)))' >/dev/null
check "an agent that takes all memory is ended" says "oom_kill [1-9]" cat /sys/fs/cgroup/agents.slice/memory.events
systemctl set-property --runtime agents.slice MemoryMax=infinity
check "agentd is not" test "$(systemctl show --property MainPID --value agentd)" = "$agentd_before"

# Damaged files.
systemctl stop agentd
head -c 65536 /dev/urandom | dd of=/var/lib/agentguard/records.db conv=notrunc bs=4096 seek=1 2>/dev/null
systemctl start agentd
check "with a damaged store agentd starts, and says so" says "put aside as /var/lib/agentguard/records.db.damaged-" agentctl status
check "and whom it only knows from the kernel" says "1 agents are in the kernel and not in the store" agentctl status
check "and keeps what was left of it" sh -c 'ls /var/lib/agentguard/records.db.* | grep -v -e -wal -e -shm'
check "the agent is denied as ever" steady
cp /etc/agentguard/agentd.toml "$work/agentd.toml.good"
echo 'log_level = 7' >/etc/agentguard/agentd.toml
systemctl restart agentd 2>/dev/null
check "with a wrong configuration it does not start, and says the line" eventually 30 says "agentd.toml:1" \
    journalctl --boot --unit agentd --no-pager
check "without it the agent is denied as ever" steady
cp "$work/agentd.toml.good" /etc/agentguard/agentd.toml
check "it starts by itself once that is mended" eventually 120 enforces
check "and the agent is denied as ever" steady
touch /home/dev/project/enough
wait
rm -f /home/dev/project/*
