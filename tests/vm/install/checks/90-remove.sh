# Removed, then purged: while an agent runs, which has to be told to nobody but the operator.
agent --name stays -- sh -c 'sleep 2; while ! cat /home/dev/.ssh/id_ed25519 2>/dev/null; do sleep 1; done; touch /home/dev/project/free' \
    >/dev/null 2>&1 &
agent_job=$!
eventually 20 says '"stays"' agentctl agents -o json >/dev/null
dpkg --remove agentguard >"$work/remove" 2>&1
check "dpkg removes it" says "^Status: deinstall ok config-files" dpkg --status agentguard
check "and says what that means" grep "no longer governed" "$work/remove"
check "programs and units are gone" sh -c '
    for file in /usr/sbin/agentd /usr/bin/agentctl /usr/libexec/agentguard /usr/share/agentguard /usr/lib/systemd/system/agentd.service; do
        test ! -e "$file" || { echo "$file is left"; exit 1; }
    done'
check "agentd is gone" fails "" pgrep --exact agentd
check "so are the kernel programs" test ! -e /sys/fs/bpf/agentguard
check "agents are free" eventually 30 test -e /home/dev/project/free
check "the configuration is kept" cmp "$work/agentd.toml" /etc/agentguard/agentd.toml
check "so are records and audit log" test -e /var/lib/agentguard/records.db -a -d /var/lib/agentguard/audit
wait "$agent_job" 2>/dev/null

dpkg --purge agentguard >"$work/purge" 2>&1
check "dpkg purges it" fails "" dpkg --status agentguard
files >"$work/after"
check "no file is left" diff "$work/before" "$work/after"
check "nor at run time" test ! -e /run/agentguard -a ! -e /sys/fs/bpf/agentguard
check "nor a unit" fails "" sh -c 'systemctl list-unit-files --no-legend "agentd*" "agents.slice" | grep .'
