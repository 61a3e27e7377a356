# A host that is lost, and comes back from a backup: with its keys, without them, and with another key.
state=/var/lib/agentguard
mkdir -p /srv/kept
cat >"$work/kept.toml" <<'TOML'
[agent]
name = "kept"
description = "Writes into one folder."
version = "1.0.0"
owner = "platform team <platform@example.com>"
role = "analysis"
tier = 2
mode = "enforce"
capabilities = ["files.write"]

[anatomy]
inputs = ["a folder"]
actions = ["write files"]
memory = "session"

[anatomy.reasoning]
model = "claude-sonnet-4"
temperature = 0.5

[economics]
monthly_budget_usd = 100

[files]
default = "deny"
read = ["/", "/usr", "/usr/**", "/bin/**", "/lib/**", "/lib64/**", "/etc", "/etc/**", "/proc/**", "/dev/**", "/srv", "/srv/**"]
write = ["/srv/kept/**", "/dev/null", "/dev/tty", "/dev/pts/*", "/dev/hvc0", "/dev/ttyS0"]
create = ["/srv/kept/**"]

[exec]
default = "deny"
allow = ["/usr/**", "/bin/**", "/lib/**", "/lib64/**"]

[network]
default = "deny"
TOML

kept() { agentctl agent start kept -- sh -c "$1"; }
wipe() { systemctl stop agentd agents.slice && find "$state" -mindepth 1 -delete && find /etc/agentguard -mindepth 1 -delete; }
begin() { systemctl start agentd && eventually 60 enforces; }

check "an agent is registered" agentctl agent create kept --from import --file "$work/kept.toml"
check "and promoted" agentctl agent promote kept
check "it works" kept 'echo one >/srv/kept/file'
check "and is blocked elsewhere" fails "Operation not permitted|cannot create" kept 'echo one >/srv/other'

check "agentd enforces" eventually 60 enforces
check "a backup is made while agentd runs" says "left out, keep them elsewhere: state/keys/" agentctl backup --out "$work/backup.tar.gz"
check "and one with keys says so" says "KEYS ARE IN IT" agentctl backup --with-keys --out "$work/keys.tar.gz"
check "for root alone, too" test "$(stat -c %a "$work/keys.tar.gz")" = 600
check "no key is in the one without" fails "" sh -c "tar -tzf $work/backup.tar.gz | grep -E '[.]key$'"
check "nothing is restored while agentd runs" fails "systemctl stop agentd" agentctl restore "$work/keys.tar.gz"
check "a dry run verifies it anyway" says "nothing was changed" agentctl restore --dry-run "$work/keys.tar.gz"
head -c 20000 "$work/keys.tar.gz" >"$work/half.tar.gz"
check "half a backup is none" fails "cannot be used" agentctl restore --dry-run "$work/half.tar.gz"

wipe
check "the host is lost" fails "" test -e "$state/agents"
check "it is restored" agentctl restore "$work/keys.tar.gz"
check "modes are as they were" test "$(stat -c %a "$state" "$state"/keys/*.key | sort -u | xargs)" = "600 700"
check "agentd starts with it" begin
check "its old records are there" says "/srv/other" agentctl events --verdict deny --path /srv/other
check "the agent starts by the proof that it had" kept 'echo two >>/srv/kept/file'
check "and is blocked elsewhere, as before" fails "Operation not permitted|cannot create" kept 'echo two >/srv/other'
check "the audit log is intact" agentctl audit verify
check "and says that it was put back" says LOG_RESTORED agentctl audit show -o ndjson
check "what was there is beside it" sh -c "ls -d $state.before-restore-*"
rm -rf "$state".before-restore-* /etc/agentguard.before-restore-*

wipe
check "restored without keys, it names them" says "MISSING.*/keys/ed25519-" agentctl restore "$work/backup.tar.gz"
check "agentd enforces without keys" begin
check "no agent starts without them" fails "secret of key|audit log" kept 'echo three >>/srv/kept/file'
tar -xzf "$work/keys.tar.gz" -C "$work" --wildcards 'state/keys/*.key'
install -m 600 "$work"/state/keys/*.key "$state/keys/"
check "with them it does, without a restart" eventually 20 kept 'echo three >>/srv/kept/file'
check "and the audit log is intact" agentctl audit verify
rm -rf "$work/state" "$state".before-restore-* /etc/agentguard.before-restore-*

# As docs/troubleshooting.md says under "The key is lost".
wipe
check "restored once more without keys" agentctl restore "$work/backup.tar.gz"
mv "$state/keys/trust.json" "$work/old-trust.json"
check "without a list of keys agentd makes another key" begin
check "the proof by the old one does not count" fails "ADMISSION_DENY_SIGNER_REVOKED" kept true
jq --raw-output '.keys[0].public_key' "$work/old-trust.json" >"$work/old.pub"
check "until its public half is trusted" agentctl keys trust "$work/old.pub" --label lost
check "then the agent starts" kept 'echo four >>/srv/kept/file'
check "and the audit log is intact from its beginning" agentctl audit verify
rm -rf "$state".before-restore-* /etc/agentguard.before-restore-* /srv/kept
check "the agent is deleted" agentctl agent delete --yes kept --because "the test is over"
