#!/bin/bash
# Governance, in the test VM, with real agents, real keys and the real kernel: the life of an agent from its creation to its
# end, each check of admission by tampering with its files, policy that changes, budgets, keys, the audit log.
# Each check is a line; the last line counts them.
set -u
here=$(dirname "$0")
state=/var/lib/agentguard
work=$(mktemp -d)
# shellcheck source=tests/vm/lib/checks.sh
. "$here/../lib/checks.sh"

start() { agentctl agent start worker -- sh -c "$1"; }
state_is() { says "\"state\": \"$2\"" agentctl agent show "$1" -o json; }
audited() { says "$1" agentctl audit show --limit 200 -o ndjson; }
reload() { agentctl policy reload; }

# edit FILE PYTHON: changes the JSON in FILE, as `it`.
edit() {
    python3 - "$1" "$2" <<'PYTHON'
import json, sys
path, change = sys.argv[1:]
it = json.load(open(path))
exec(change)
json.dump(it, open(path, "w"))
PYTHON
}

usermod --append --groups agentguard dev
mkdir -p /srv/work /srv/web
chmod 777 /srv/work
echo hello >/srv/web/index.html
python3 -m http.server --protocol HTTP/1.1 --bind 10.77.0.1 --directory /srv/web 8080 >/dev/null 2>&1 &
python3 -m http.server --bind 127.0.0.1 --directory /srv/web 8080 >/dev/null 2>&1 &
trap 'kill %1 %2 2>/dev/null' EXIT
for host in 10.77.0.1 127.0.0.1; do
    curl --silent --output /dev/null --retry 20 --retry-delay 1 --retry-connrefused "http://$host:8080/"
done

echo "== created, in the sandbox"
check "an agent is registered from a file" agentctl agent create worker --from import --file "$here/worker.toml"
check "it is in the sandbox" state_is worker SANDBOX
check "its name is taken" fails "already" agentctl agent create worker --from import --file "$here/worker.toml"
check "in the sandbox it writes to its scratch directory" \
    start 'echo x >"$AGENTGUARD_SCRATCH/file" && cat "$AGENTGUARD_SCRATCH/file" && mktemp && mkdir "$TMPDIR/d" && mv "$TMPDIR/file" "$TMPDIR/d"'
check "which is gone at its end" eventually 25 sh -c 'test -z "$(ls /var/lib/agentguard-scratch)"'
check "it writes nowhere else" fails "Operation not permitted|cannot create" start 'echo x >/srv/work/sandbox'
check "nor did it" test ! -e /srv/work/sandbox
check "it changes nothing else" fails "" start 'chmod 700 /srv/work || touch /srv/work || ln /srv/web/index.html /srv/work/link'
check "it calls nobody" fails "" start 'curl --silent --max-time 5 http://10.77.0.1:8080/'
check "not even this host" fails "" start 'curl --silent --max-time 5 http://127.0.0.1:8080/'
check "the record says why" says "containment" agentctl events --agent worker --verdict deny
sed 's/loopback = false/loopback = true/; s/name = "worker"/name = "local"/' "$here/worker.toml" >"$work/local.toml"
check "loopback only if its spec says so" sh -c "
    agentctl agent create local --from import --file $work/local.toml &&
    agentctl agent start local -- curl --silent --max-time 10 http://127.0.0.1:8080/ | grep hello &&
    ! agentctl agent start local -- curl --silent --max-time 5 http://10.77.0.1:8080/"
check "observing is not left to the sandbox" sh -c "
    sed 's/mode = \"enforce\"/mode = \"observe\"/; s/name = \"worker\"/name = \"watcher\"/' $here/worker.toml >$work/watcher.toml
    agentctl agent create watcher --from import --file $work/watcher.toml &&
    ! agentctl agent start watcher -- sh -c 'echo x >/srv/work/watcher' && test ! -e /srv/work/watcher"

echo "== promoted"
check "a member may ask, and is told everything at once" fails "promotion.actor_role" dev agentctl agent promote worker
sed 's/temperature = 0.5/temperature = 1.5/; s/monthly_budget_usd = 100/monthly_budget_usd = 5000/; /^owner/d; s/name = "worker"/name = "hot"/' \
    "$here/worker.toml" >"$work/hot.toml"
check "all reasons together" sh -c "
    agentctl agent create hot --from import --file $work/hot.toml >/dev/null
    agentctl agent promote hot >$work/refused 2>&1 && exit 1
    cat $work/refused
    for id in temperature_over_limit budget_over_limit owner_missing; do grep -q promotion.\$id $work/refused || exit 1; done"
check "governance check says what a place would refuse" \
    fails "budget_over_limit" agentctl governance check --agent worker --tier 2 --environment prod --budget-limit 50
check "and that nothing stands against another" agentctl governance check --agent worker --tier 2 --environment dev --budget-limit 150
check "root promotes it" agentctl agent promote worker
check "it is valid" state_is worker GOVERNED_VALID
check "now it writes and calls" start 'echo x >/srv/work/file && curl --silent --max-time 10 http://10.77.0.1:8080/ | grep hello'
check "and nothing else" fails "" start 'echo x >/srv/web/file'

agentctl agent start worker -- sh -c 'touch /srv/work/victim; while sleep 1; do echo x >>/srv/work/beat; done' >/dev/null 2>&1 &
check "it runs" eventually 20 test -s /srv/work/beat
check "what runs is what was signed, read back from the kernel" python3 - <<'PYTHON'
import json, subprocess
done = subprocess.run(["agentctl", "agent", "show", "worker", "-o", "json"], stdout=subprocess.PIPE)
shown = json.loads(done.stdout)
print(json.dumps(shown["instances"]), shown.get("read_by_agentctl"))
assert shown["read_by_agentctl"], "agentctl did not find the kernel's table"
assert done.returncode == 0
kernel, proof = shown["instances"][0]["kernel"], shown["proof"]["proof"]
print(kernel, proof)
assert kernel["holds"] and kernel["differences"] == []
assert kernel["spec_sha256"] == proof["spec_sha256"] == shown["spec_sha256"]
assert kernel["policy_sha256"] == proof["policy_sha256"] == shown["policy_sha256"]
PYTHON
check "and shown" says "identical|signed" agentctl agent show worker

echo "== restricted"
check "a reason is wanted" fails "because" agentctl agent restrict worker
check "a member may not" fails "agent_admin" dev agentctl agent restrict worker --because "x"
check "root restricts it while it runs" agentctl agent restrict worker --because "odd traffic"
check "what runs is restricted, too" says "GOVERNED_RESTRICTED" agentctl agents -o json
check "it reads and writes" start 'cat /srv/work/victim && echo x >>/srv/work/file'
check "it deletes nothing" fails "" start 'rm /srv/work/victim'
check "it calls nobody outside" fails "" start 'curl --silent --max-time 5 http://10.77.0.1:8080/'
check "until that is lifted" sh -c 'agentctl agent lift worker --because "it was a test" && agentctl agent start worker -- rm /srv/work/victim'

echo "== each check, by tampering"
agent=$state/agents/worker
cp -a "$state" "$work/state"
restore() { rm -rf "$agent" && cp -a "$work/state/agents/worker" "$agent" && cp -a "$work/state/keys/." "$state/keys/"; }
denied() { # CODE
    fails "$1" start 'echo ran >/srv/work/tampered' && test ! -e /srv/work/tampered && audited "$1"
}
check "before it, it starts" start true
rm "$agent/proof.json"
check "1 proof: removed" denied ADMISSION_DENY_PROOF_MISSING
echo '{}' >"$agent/proof.json"
check "1 proof: no proof" denied ADMISSION_DENY_PROOF_MISSING
restore
sed -i 's|"/srv/work/\*\*"|"/srv/**"|' "$agent/spec.toml"
check "2 spec: changed" denied ADMISSION_DENY_SPEC_HASH_MISMATCH
restore
edit "$agent/agent.json" 'it["variables"] = {"workspace": "/etc"}'
check "2 spec: another value of a variable" denied ADMISSION_DENY_SPEC_HASH_MISMATCH
restore
mkdir -p /etc/agentguard/policies
cp -r /usr/share/agentguard/policies/. /etc/agentguard/policies/
echo '# another policy' >>/etc/agentguard/policies/network/network.rego
check "another policy that says the same: the agent stays valid, and its proof is signed anew" sh -c '
    agentctl policy reload && agentctl agent start worker -- true && ! cmp -s '"$agent/proof.json $work/state/agents/worker/proof.json"
cp -a "$agent/proof.json" "$work/newer.json"
cp -a "$work/state/agents/worker/proof.json" "$agent/proof.json"
check "3 policy: an old proof put back" denied ADMISSION_DENY_POLICY_HASH_MISMATCH
cp -a "$work/newer.json" "$agent/proof.json"
check "and the newer again" start true
cp -a "$agent" "$work/state/agents/" # the proof of today
edit "$state/keys/trust.json" 'it["keys"][0]["status"] = "revoked"'
check "4 signer: revoked" denied ADMISSION_DENY_SIGNER_REVOKED
restore
edit "$state/keys/trust.json" 'it["keys"] = []'
check "4 signer: unknown" denied ADMISSION_DENY_SIGNER_REVOKED
restore
edit "$agent/proof.json" 's = it["signatures"][0]["sig"]; it["signatures"][0]["sig"] = ("B" if s[0] == "A" else "A") + s[1:]'
check "5 signature: another" denied ADMISSION_DENY_SIGNATURE_INVALID
restore
edit "$agent/proof.json" 'import base64; p = json.loads(base64.b64decode(it["payload"])); p["expires_sec"] += 10**8; it["payload"] = base64.b64encode(json.dumps(p).encode()).decode()'
check "5 signature: a longer promise" denied ADMISSION_DENY_SIGNATURE_INVALID
restore
edit "$state/agents/local/agent.json" 'it["sandbox_until_sec"] = 1'
check "6 expiry: too long in the sandbox" fails ADMISSION_DENY_SANDBOX_EXPIRED agentctl agent start local -- true
sed "s/^tier = 2/tier = 2\nexpires = $(date -u -d '+25 seconds' +%Y-%m-%dT%H:%M:%SZ)/; s/name = \"worker\"/name = \"mayfly\"/" "$here/worker.toml" >"$work/mayfly.toml"
agentctl agent create mayfly --from import --file "$work/mayfly.toml" >/dev/null
check "a promise that ends soon" agentctl agent promote mayfly
sleep 26
check "6 expiry: of a proof" fails ADMISSION_DENY_PROOF_EXPIRED agentctl agent start mayfly -- true
sed -i 's/external_calls = false/external_calls = true/' "$state/agents/watcher/spec.toml"
check "7 containment: asked for in the sandbox" fails ADMISSION_DENY_CONTAINMENT_VIOLATION agentctl agent start watcher -- true
sed 's/external_calls = false/external_calls = true/; s/name = "worker"/name = "local"/' "$here/worker.toml" >"$work/caller.toml"
check "nobody registers such a spec" fails "external_calls" agentctl agent update local --spec "$work/caller.toml"
check "after it, it starts" start true
# What ran meanwhile may have been stopped by a look at its files.
agentctl agent start worker -- sh -c 'while sleep 1; do echo x >>/srv/work/again; done' >/dev/null 2>&1 &
check "another run" eventually 20 test -s /srv/work/again
systemctl kill --kill-who main -s KILL agentd
sed -i 's|"/srv/work/\*\*"|"/srv/**"|' "$agent/spec.toml"
systemctl reset-failed agentd
systemctl start agentd
check "tampered with while agentd was away: what ran is stopped when it is back" sh -c '
    before=$(wc -c </srv/work/again); sleep 3; test "$(wc -c </srv/work/again)" = "$before"'
restore
check "and starts again as it was signed" start true

echo "== another policy"
agentctl agent start worker -- sh -c 'while sleep 1; do echo x >>/srv/work/beat; done' >/dev/null 2>&1 &
eventually 20 says worker agentctl agents
edit /etc/agentguard/policies/data.json 'it["promotion"]["temperature"]["analysis"] = 0.4'
check "one that it does not stand invalidates it" says "GOVERNED_INVALIDATED" reload
check "what ran is stopped" eventually 10 fails "" pgrep -f /srv/work/beat
check "it can not start" denied ADMISSION_DENY_STATE
edit /etc/agentguard/policies/data.json 'it["promotion"]["temperature"]["analysis"] = 0.7'
check "the old limit" reload
check "does not bring it back by itself" state_is worker GOVERNED_INVALIDATED
check "but a promotion does" sh -c 'agentctl agent promote worker && agentctl agent start worker -- true'
rm -r /etc/agentguard/policies/promotion
check "a policy that could refuse nobody does not come into force" fails "could refuse nobody" reload
cp -r /usr/share/agentguard/policies/promotion /etc/agentguard/policies/
check "and what is in force stays" start true

echo "== keys"
check "a key of this host is there from the beginning" says "ed25519-" agentctl keys list
check "a member keeps no keys" fails "only root" dev agentctl keys generate
check "another key signs from now on, and nobody stops" sh -c 'agentctl keys rotate --label next && agentctl agent start worker -- true'
check "the old one may go" sh -c 'agentctl keys revoke "$(agentctl keys list -o json | python3 -c "import json,sys; print([k[\"id\"] for k in json.load(sys.stdin)[\"keys\"] if not k[\"active\"]][0])")" --because "rotated" && agentctl agent start worker -- true'
check "one secret will do on one host" sh -c 'agentctl keys rotate --algorithm hmac-sha256 && agentctl agent promote worker && agentctl agent start worker -- true && agentctl agent show worker | grep -q hmac-'
check "back to a key that others can verify" agentctl keys rotate --algorithm ed25519
check "openssl reads it" sh -c 'for key in '"$state"'/keys/ed25519-*.key; do openssl pkey -in "$key" -noout || exit 1; done'

echo "== budgets"
check "80 percent" says "80" agentctl budget add worker 80 --note gateway
check "nothing twice" sh -c 'agentctl budget add worker 5 --key a && agentctl budget add worker 5 --key a && agentctl budget report | grep -q "85"'
printf '%s' 'a-word-that-only-the-gateway-knows' >/etc/agentguard/budget.token
chmod 600 /etc/agentguard/budget.token
printf '[budget]\nlisten = "127.0.0.1:9465"\n' >/etc/agentguard/agentd.toml
systemctl restart agentd
push() { curl --silent --fail-with-body --max-time 20 -H "Authorization: Bearer $1" -d "$2" http://127.0.0.1:9465/v1/spend; }
check "a gateway reports what was spent" says '"alert": *90' push a-word-that-only-the-gateway-knows '{"agent":"worker","usd":"5.5","key":"r1"}'
check "with the right word" fails "401|word" push another-word-of-that-length-or-so '{"agent":"worker","usd":"1"}'
agentctl agent start worker -- python3 -u -c '
import http.client, time
connection = http.client.HTTPConnection("10.77.0.1", 8080)
while True:
    connection.request("GET", "/")
    print(connection.getresponse().read())
    time.sleep(1)' >/srv/work/kept 2>&1 &
check "it keeps a connection" eventually 20 grep -q hello /srv/work/kept
check "at 100 percent policy restricts" says "GOVERNED_RESTRICTED" push a-word-that-only-the-gateway-knows '{"agent":"worker","usd":"9.5","key":"r2"}'
check "it calls nobody any more" fails "" start 'curl --silent --max-time 5 http://10.77.0.1:8080/'
check "nor by the connection that it has" eventually 20 says "sendall.*PermissionError" tr '\n' ' ' </srv/work/kept
check "the alerts are in the audit log" sh -c 'agentctl audit show --kind budget -o ndjson | grep -q BUDGET_EXHAUSTED'
agentctl agent start mayfly -- true 2>/dev/null
agentctl agent promote hot >/dev/null 2>&1
check "and in the metrics" sh -c 'curl --silent http://127.0.0.1:9464/metrics >'"$work/metrics"'
    for name in agent_starts_allowed_total agent_starts_denied_total agent_invalidation_events_total policy_reload_success_total policy_reload_failure_total promotion_attempts_total promotion_denies_total agent_budget_alerts_total agentguard_registered_agents; do
        grep -q "^$name" '"$work/metrics"' || { echo "no $name"; exit 1; }; done'

echo "== made in other ways"
agentctl run --observe --spec "$here/worker.toml" --name learner -- \
    sh -c 'echo x >/srv/work/learned; cat /srv/web/index.html; curl --silent http://10.77.0.1:8080/' >/dev/null 2>&1
eventually 20 says learned agentctl events --agent learner --path '/srv/work/**'
check "learned from a run" agentctl agent create pupil --from event --agent learner --workspace /srv/work --role analysis --tier 2 --owner me --description "does what the learner did" --set workspace=/srv/work
check "what it did is granted, and no more" sh -c '
    agentctl agent promote pupil &&
    agentctl agent start pupil -- sh -c "echo x >/srv/work/learned; cat /srv/web/index.html; curl --silent --max-time 10 http://10.77.0.1:8080/" | grep hello &&
    ! agentctl agent start pupil -- cat /etc/shadow'
for template in coding-agent ops-agent mcp-server observer; do
    check "from the template $template, promotable" sh -c "
        agentctl agent create t-$template --from template --template $template --owner me --description 'from a template' &&
        agentctl agent validate t-$template"
done
check "a clone" sh -c 'agentctl agent create twin --from clone --agent worker && agentctl agent diff worker 2>/dev/null; agentctl agent validate twin'
check "from scratch" agentctl agent create blank --from scratch --role analysis --tier 1
check "in the sandbox it runs" agentctl agent start blank -- sh -c 'echo hi'
check "under the unit of a registered agent" sh -c '
    systemd-run --unit governed-unit --quiet sleep 600
    agentctl enroll --agent worker --unit governed-unit.service | grep -q worker'
check "which is one agent's" fails "is governed as agent worker" agentctl enroll --agent blank --unit governed-unit.service
# Not governed, with two threads: the second one is told from the first by its number.
python3 -c '
import os, threading, time
def second():
    told = os.open("/run/second", os.O_WRONLY | os.O_CREAT)
    while not os.path.exists("/run/moved"):
        time.sleep(0.1)
    try:
        open("/srv/second", "w")
        said = "written"
    except PermissionError:
        said = "denied"
    os.write(told, said.encode())
threading.Thread(target=second).start()' &
process=$!
eventually 20 test -e /run/second
echo "$process" >"/sys/fs/cgroup$(systemctl show --property ControlGroup --value governed-unit)/cgroup.procs"
touch /run/moved
check "of a process that is moved into it every thread is governed" eventually 20 grep -qx denied /run/second
systemctl stop governed-unit
systemd-run --unit again --quiet --property Restart=always --property RestartSec=12 sh -c 'echo x >"/srv/again-$$"; sleep 600'
check "a unit that can be started again" agentctl enroll --agent worker --unit again.service
pkill -f "sleep 600"
check "is governed then, too" eventually 40 sh -c 'systemctl is-active again && test "$(ls /srv/again-* | wc -l)" = 1 &&
    agentctl agents -o json | python3 -c "import json, sys; exit(not any(a[\"processes\"] and \"again\" in a[\"target\"] for a in json.load(sys.stdin)))"'
systemctl stop again
check "exported" sh -c "agentctl agent export worker --format bundle | python3 -c 'import json,sys; json.load(sys.stdin)'"

echo "== the audit log"
check "is whole" agentctl audit verify
segment=$(ls "$state"/audit/audit-*.ndjson | head -n 1)
cp -a "$state/audit" "$work/audit"
line=$(grep -n ADMISSION_DENY_STATE "$segment" | head -n 1 | cut -d: -f1)
sed -i "${line}s/worker/walker/" "$work/audit/$(basename "$segment")"
check "a changed record is found and named" fails "$(basename "$segment"):$line|record" agentctl audit verify --dir "$work/audit"
check "exported for an auditor" sh -c "
    agentctl audit export --format html --out $work/export.html && grep -q 'AC-6' $work/export.html &&
    agentctl audit export --format csv --control AC-6 | head -n 3 && agentctl audit export --format json --framework nist >/dev/null"
systemctl stop agentd
mount -t tmpfs -o size=256k,mode=700 tmpfs "$state/audit"
systemctl start agentd
dd if=/dev/zero of="$state/audit/filler" bs=1k 2>/dev/null
# What is left of the file's last page takes a few records more.
check "a full disk starts nobody" eventually 40 fails "audit log can not be written" start true
check "and promotes nobody" fails "audit log can not be written" agentctl agent promote worker
check "but agents can be revoked" agentctl agent revoke blank --because "the disk is full"
check "and enforcement goes on" says "canary +denied" agentctl status
rm "$state/audit/filler"
check "with room again it starts" start true
systemctl stop agentd
umount "$state/audit"
systemctl start agentd
check "the log goes on where it was" agentctl audit verify

echo "== the end"
printf '[governance]\nunregistered = "refuse"\n' >/etc/agentguard/agentd.toml
systemctl restart agentd
check "a host may want every agent to be registered" \
    fails ADMISSION_DENY_UNREGISTERED agentctl run --spec "$here/worker.toml" --name stray -- true
check "which it is" agentctl agent start t-observer -- true
agentctl agent start worker -- sleep 600 >/dev/null 2>&1 &
eventually 20 says '"worker"' agentctl agents -o json
# 60 is exit(2) of one thread.
systemd-run --unit second-thread --quiet --property Restart=always python3 -c '
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).syscall(60, 0)'
check "a process goes on without its first thread" eventually 20 says zombie \
    sh -c 'cat "/proc/$(systemctl show --property MainPID --value second-thread)/status"'
check "and is governed" agentctl enroll --agent worker --unit second-thread.service
check "revoked, it is stopped" sh -c 'agentctl agent revoke worker --because "the project ended"; ! agentctl agents -o json | grep -q "\"worker\""'
check "so is the one without its first thread, for good" eventually 10 says "^inactive|^failed" systemctl is-active second-thread
check "and does not start" denied ADMISSION_DENY_STATE
check "its history says all of it" sh -c '
    agentctl agent history worker -o json >'"$work/history"'
    for code in AGENT_CREATED PROMOTION_SUCCESS AGENT_RESTRICTED AGENT_LIFTED AGENT_INVALIDATED AGENT_REVOKED; do
        grep -q "$code" '"$work/history"' || { echo "no $code"; exit 1; }; done'
check "deleted, it is gone" sh -c 'agentctl agent delete worker --yes && ! agentctl agent show worker && test ! -e '"$agent"

rm -rf /etc/agentguard/policies "$work"
summary governance
