# The journal by its fields; a real Prometheus that scrapes agentd, and two alerts that fire.
shipped=/usr/share/agentguard/monitoring

# journal AGENT [MATCH...]: lines about an agent, as JSON.
journal() {
    local agent=$1
    shift
    journalctl --unit agentd --output json "AGENT=$agent" "$@"
}
denied_shadow() {
    journal monitored VERDICT=deny | jq --exit-status --slurp '
        any(.OBJECT == "/etc/shadow" and .CALL == "open" and .OPERATION == "read" and .ENFORCED == "true" and
            (.RULE | startswith("filesystem.")) and (.INCIDENT | startswith("inc-")) and .SEVERITY != null and
            .EXE != null and .PRIORITY == "4" and .SYSLOG_IDENTIFIER == "agentd")'
}
run_agent() { # NAME COMMAND...
    local name=$1
    shift
    agentctl run --name "$name" --spec coding-agent --set workspace=/srv/monitored -- "$@"
}

mkdir -p /srv/monitored
run_agent monitored cat /etc/shadow >/dev/null 2>&1
check "the journal has what an agent was denied, by its name and the verdict" eventually 20 denied_shadow
check "and finds the line by its incident" sh -c '
    incident=$(journalctl --unit agentd --output json AGENT=monitored VERDICT=deny | jq --raw-output .INCIDENT | tail -n 1)
    test "$(journalctl --unit agentd --output cat "INCIDENT=$incident" VERDICT=deny | wc -l)" -eq 1'
check "and the run, from its begin to its end" eventually 30 sh -c '
    test "$(journalctl --unit agentd --output json AGENT=monitored | jq --slurp "map(.MODE, .STATE) | map(values) | unique == [\"enforce\", \"finished\"]")" = true'

# Every denial is a line or is counted in LEFT_OUT, and none is left out by journald.
run_agent flood python3 -c '
for _ in range(500):
    try:
        open("/etc/shadow")
    except PermissionError:
        pass' >/dev/null 2>&1
accounted() {
    local lines left_out denials
    lines=$(journal flood VERDICT=deny | wc -l)
    left_out=$(journal flood | jq --slurp 'map(.LEFT_OUT // "0" | tonumber) | add')
    denials=$(agentctl query "SELECT count(*) AS n FROM decisions WHERE agent = 'flood' AND verdict = 'deny'" -o ndjson | jq .n)
    echo "$lines lines, $left_out left out, $denials denials"
    [ "$left_out" -gt 0 ] && [ "$denials" -ge 500 ] && [ $((lines + left_out)) -eq "$denials" ]
}
check "a flood of denials is limited, and what is left out is told" eventually 30 accounted
check "journald left out nothing itself" fails "" sh -c 'journalctl --unit systemd-journald | grep Suppressed'

check "promtool accepts the alerts" promtool check rules "$shipped/agentguard.rules.yml"
check "and they do what they say" promtool test rules "$shipped/agentguard.rules.test.yml"
check "promtool finds no fault with the page" sh -c 'curl --silent --fail --max-time 20 http://127.0.0.1:9464/metrics | promtool check metrics'

# The shipped alerts, but for how long they must hold: a test does not wait for minutes.
sed 's/^\( *for:\) .*/\1 5s/' "$shipped/agentguard.rules.yml" >"$work/quick.rules.yml"
cat >"$work/prometheus.yml" <<YAML
global: {scrape_interval: 5s, scrape_timeout: 5s, evaluation_interval: 5s}
rule_files: [$work/quick.rules.yml]
scrape_configs:
  - job_name: agentd
    static_configs: [{targets: ["127.0.0.1:9464"]}]
YAML
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
    --web.listen-address=127.0.0.1:9090 >"$work/prometheus.log" 2>&1 &
prometheus_job=$!

# ask PATH [OPTION...]: what Prometheus says; fails where it says nothing.
ask() {
    local path=$1
    shift
    curl --silent --show-error --fail --max-time 20 "$@" "http://127.0.0.1:9090$path"
}
answers() { # QUERY JQ
    local said
    said=$(ask /api/v1/query --data-urlencode "query=$1") && jq --exit-status ".data.result | $2" <<<"$said"
}
alert_is() { # ALERT firing|silent
    local said
    said=$(ask /api/v1/alerts) && jq --exit-status --arg alert "$1" --arg is "$2" '
        (.data.alerts | any(.labels.alertname == $alert and .state == "firing")) == ($is == "firing")' <<<"$said"
}
accepts_panels() {
    python3 - "$shipped/agentguard-dashboard.json" <<'PYTHON'
import json, sys, urllib.error, urllib.parse, urllib.request
panels = json.load(open(sys.argv[1]))["panels"]
queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
assert len(queries) > 20, queries
for query in queries:
    query = query.replace("$instance", ".*").replace("$__rate_interval", "1m")
    body = urllib.parse.urlencode({"query": query}).encode()
    try:
        urllib.request.urlopen("http://127.0.0.1:9090/api/v1/query", body, timeout=20).read()
    except urllib.error.HTTPError as error:
        sys.exit(f"{query}: {error.read().decode()}")
PYTHON
}

check "Prometheus starts" eventually 60 ask /-/ready
check "and scrapes agentd" eventually 60 answers 'up{job="agentd"}' 'any(.value[1] == "1")'
check "it sees the canary denied" answers 'agentguard_canary_ok' 'any(.value[1] == "1")'
check "how full the kernel's tables are" answers 'agentguard_table_entries{table="agents"} > 0' 'length == 1'
check "how long records took" answers 'agentguard_record_lag_seconds_count > 500' 'length == 1'
check "which configuration is in effect" answers 'agentguard_config' 'any(.metric.sha256 | length == 64)'
check "every panel of the dashboard asks what it understands" accepts_panels
check "no alert about a policy yet" alert_is PolicyReloadFailed silent
mkdir -p /etc/agentguard/policies/broken
echo 'package broken nonsense' >/etc/agentguard/policies/broken/broken.rego
check "a policy that is wrong is refused" fails "broken.rego" agentctl policy reload
check "and the alert fires" eventually 60 alert_is PolicyReloadFailed firing
rm -r /etc/agentguard/policies/broken
check "no alert about agentd yet" alert_is AgentdDown silent
systemctl stop agentd
check "agentd is stopped, and the alert fires" eventually 60 alert_is AgentdDown firing
systemctl start agentd
check "it is started, and the alert ends" eventually 60 alert_is AgentdDown silent
kill "$prometheus_job"
wait "$prometheus_job" 2>/dev/null
rm -rf /srv/monitored
