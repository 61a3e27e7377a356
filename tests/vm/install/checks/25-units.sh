# What the units promise: few privileges, and agents that systemd starts.
agentd_pid() { systemctl show --property MainPID --value agentd; }
# held CAPABILITY: by number, whether any thread of agentd still has it.
held() {
    local status
    for status in /proc/"$(agentd_pid)"/task/*/status; do
        [ $((0x$(sed -n 's/^CapPrm:\t//p' "$status") >> $1 & 1)) -eq 0 ] || return 0
    done
    return 1
}
check "agentd has given up CAP_SYS_ADMIN" fails "" held 21
check "and CAP_PERFMON, with which it loaded its programs" fails "" held 38
check "it keeps CAP_BPF" held 39
check "it can not write to /usr" sh -c "! nsenter --mount --target $(agentd_pid) touch /usr/agentd-was-here 2>/dev/null"
check "it comes late when memory is short" grep -qx -- -900 "/proc/$(agentd_pid)/oom_score_adj"
check "systemd knows its back end" says "StatusText=back end lsm, the canary is denied" \
    eventually 60 systemctl show --property StatusText agentd
exposure=$(systemd-analyze security --no-pager agentd.service 2>/dev/null | sed -n 's/.*exposure level for agentd.service: \([0-9.]*\) .*/\1/p')
echo "systemd-analyze security agentd.service: $exposure"
check "systemd-analyze finds it exposed no more than it must be" awk "BEGIN { exit !($exposure > 0 && $exposure < 5) }"

mkdir -p /srv/caretaker
chown agentguard-agent:agentguard /srv/caretaker
cat >/srv/caretaker/work <<'SH'
#!/bin/sh
cat /home/dev/.ssh/id_ed25519 2>/srv/caretaker/denied
id -un >/srv/caretaker/user
exec sleep 600
SH
echo 'COMMAND=/bin/sh /srv/caretaker/work' >/etc/agentguard/agents/caretaker.conf
agentctl agent create caretaker --from template --template coding-agent --owner "ops" --description "Looks after things." \
    --set workspace=/srv/caretaker >/dev/null
sandboxed() {
    systemctl start agentd-agent@caretaker
    eventually 30 pgrep --uid agentguard-agent --exact sleep && ! test -e /srv/caretaker/user
    local ended=$?
    systemctl stop agentd-agent@caretaker
    return "$ended"
}
check "before its promotion the unit runs an agent in its sandbox, where it writes nothing that stays" sandboxed
check "it is promoted" agentctl agent promote caretaker
check "its unit starts it" systemctl start agentd-agent@caretaker
works() { eventually 30 test -s /srv/caretaker/user || { journalctl --boot --no-pager --unit agentd-agent@caretaker; return 1; }; }
check "it works" works
check "as a user of its own" grep -qx agentguard-agent /srv/caretaker/user
check "is denied what it may not" says "Operation not permitted" cat /srv/caretaker/denied
check "is in the slice of agents" says "=/agents.slice/" systemctl show --property ControlGroup agentd-agent@caretaker
check "is governed as what was signed" says '"state": "GOVERNED_VALID"' agentctl agent show caretaker -o json
check "its main process is the agent itself" says "^sleep$" eventually 20 sh -c '
    grep -x sleep "/proc/$(systemctl show --property MainPID --value agentd-agent@caretaker)/comm"'
systemctl stop agentd-agent@caretaker
check "its unit ends it" eventually 20 fails "" pgrep --uid agentguard-agent

# As at boot: agentd first, and without agentd no agent.
since() { systemctl show --property "$1" --value "$2"; }
systemctl stop agentd
check "its unit starts agentd" systemctl start agentd-agent@caretaker
check "and the agent only once agentd enforces" \
    test "$(since ActiveEnterTimestampMonotonic agentd)" -lt "$(since ExecMainStartTimestampMonotonic agentd-agent@caretaker)"
systemctl stop agentd-agent@caretaker agentd
rm -f /srv/caretaker/user
mv /usr/sbin/agentd "$work/agentd"
systemctl start agentd-agent@caretaker 2>/dev/null
sleep 7 # longer than it waits before it tries again
check "where agentd can not start, the agent does not either" test ! -e /srv/caretaker/user
mv "$work/agentd" /usr/sbin/agentd
check "it does by itself once agentd is back" eventually 180 test -s /srv/caretaker/user
systemctl stop agentd-agent@caretaker
check "it is revoked" agentctl agent revoke caretaker --because "the test ends"
check "and its unit starts it no more" fails "" sh -c '
    rm -f /srv/caretaker/user; systemctl start agentd-agent@caretaker; sleep 3; test -e /srv/caretaker/user'
check "nor tries again" says "^failed$" eventually 20 sh -c 'systemctl is-active agentd-agent@caretaker | grep failed'
systemctl reset-failed agentd-agent@caretaker
rm -r /srv/caretaker /etc/agentguard/agents/caretaker.conf

# As docs/how-to/keys.md has it.
key=$(ls /var/lib/agentguard/keys/*.key)
install -d -m 700 /etc/credstore.encrypted
check "its key can be encrypted to this host" systemd-creds encrypt --name=agentguard-key "$key" /etc/credstore.encrypted/agentguard-key
drop_in=/etc/systemd/system/agentd.service.d
mkdir "$drop_in"
printf '[Service]\nLoadCredentialEncrypted=agentguard-key:/etc/credstore.encrypted/agentguard-key\n' >"$drop_in/key.conf"
systemctl daemon-reload
mv "$key" "$work/key"
systemctl restart agentd
check "and signs when systemd gives it" says " signs " agentctl keys list
mv "$work/key" "$key"
rm -r "$drop_in" /etc/credstore.encrypted /var/lib/systemd/credential.secret
systemctl daemon-reload
systemctl restart agentd
check "as it does from its own folder" says " signs " agentctl keys list
