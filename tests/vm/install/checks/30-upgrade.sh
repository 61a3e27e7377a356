# The next revision, while an agent runs that never stops trying what it may not.
echo 'log_level = "debug" # of the operator' >"$work/agentd.toml"
cp "$work/agentd.toml" /etc/agentguard/agentd.toml

agent --name tries -- sh -c '
    while [ ! -e /home/dev/project/enough ]; do
        if cat /home/dev/.ssh/id_ed25519 2>/dev/null; then touch /home/dev/project/escaped; fi
        echo >>/home/dev/project/tries
    done' >/dev/null 2>&1 &
agent_job=$!
check "an agent tries to read a key" eventually 20 test -s /home/dev/project/tries
agentd_before=$(systemctl show --property MainPID --value agentd)
dpkg --install "$second" >"$work/upgrade" 2>&1
check "dpkg upgrades it" says "^Version: .*-2$" dpkg --status agentguard
check "and asks nothing about the configuration" cmp "$work/agentd.toml" /etc/agentguard/agentd.toml
check "another agentd runs" test "$(systemctl show --property MainPID --value agentd)" != "$agentd_before"
check "it is active" systemctl is-active agentd
check "and enforces" enforces
check "the agent runs on" says '"tries"' agentctl agents -o json
tries=$(wc -c </home/dev/project/tries)
check "and goes on trying" eventually 20 sh -c "test \$(wc -c </home/dev/project/tries) -gt $tries"
check "it never read the key" test ! -e /home/dev/project/escaped
touch /home/dev/project/enough
wait "$agent_job"
rm -f /home/dev/project/*
check "new agents are governed" fails "Operation not permitted" agent -- cat /home/dev/.ssh/id_ed25519
