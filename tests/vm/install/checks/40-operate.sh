# Reports for maintainers, log levels, top.
check "an agent is blocked" fails "Operation not permitted" agentctl run --name reported --spec coding-agent --set workspace=/srv -- cat /etc/shadow
# A secret that is no one's, in the configuration only while a report is made.
cp /etc/agentguard/agentd.toml "$work/agentd.toml"
printf '\n[[notify]]\nwebhook = "https://hooks.example.com/services/made-up-path"\n' >>/etc/agentguard/agentd.toml
check "a report is made" agentctl bugreport --out "$work/report.tar.gz"
check "for root alone" test "$(stat -c %a "$work/report.tar.gz")" = 600
check "no report replaces another" fails "is there already" agentctl bugreport --out "$work/report.tar.gz"
tar -xzf "$work/report.tar.gz" -C "$work"
check "everything is in it" jq --exit-status '.missing == [] and ([.parts[].name] | contains(
    ["doctor.json", "kernel.json", "status.json", "agents.json", "registered.json", "policy.json", "counts.json",
     "metrics.txt", "config.json", "units.txt", "journal.txt"]))' "$work/agentguard-bugreport/contents.json"
check "but no secret" fails "" grep -r made-up-path "$work/agentguard-bugreport"
check "nor a user, an owner or a file of an agent" fails "" grep -rE '/home/dev|/etc/shadow' "$work/agentguard-bugreport"
check "it has what was counted" says '"reported"' cat "$work/agentguard-bugreport/counts.json"
rm -rf "$work/agentguard-bugreport"
cp "$work/agentd.toml" /etc/agentguard/agentd.toml
check "records are in it only if they are asked for" sh -c "
    agentctl bugreport --with-records --out $work/records.tar.gz &&
    tar -xzOf $work/records.tar.gz agentguard-bugreport/records.json | grep -q /etc/shadow"
systemctl stop agentd
check "without agentd a report has what there is" sh -c "
    agentctl bugreport --out $work/down.tar.gz >$work/said && grep -q 'status.json.*missing' $work/said &&
    tar -tzf $work/down.tar.gz | grep -q journal.txt"
check "agentd is back" sh -c "systemctl start agentd && agentctl status"

check "the log level is that of the configuration" says "as configured" agentctl log-level
check "root changes it" says "^trace.*until agentd restarts" agentctl log-level trace
check "that is a line of the journal" says "changed the log level" eventually 10 \
    sh -c 'journalctl --unit agentd --since -1min | grep "changed the log level"'
check "what is no level is refused" fails "no log level" agentctl log-level loud
check "a member may look" says "^trace" dev agentctl log-level
check "and not change it" fails "policy_admin" dev agentctl log-level info
check "a restart ends it" sh -c 'systemctl restart agentd && agentctl log-level | grep -q "as configured"'

tmux new-session -d -s top -x 80 -y 24 "agentctl top; echo \$? >$work/left"
top_shows() { tmux capture-pane -p -t top | grep -E -- "$1"; }
top_shows_no() { ! top_shows "$1"; }
check "top shows the canary on 80 columns" eventually 60 top_shows '^canary +denied'
systemctl stop agentd
check "and that agentd is away" eventually 60 top_shows 'agentd is not running'
systemctl start agentd
check "and finds it again" eventually 60 top_shows_no 'agentd is not running'
tmux send-keys -t top q
check "q leaves" eventually 20 grep -qx 0 "$work/left"
check "top wants a terminal" fails "draws on a terminal" agentctl top
