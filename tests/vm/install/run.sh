#!/bin/bash
# The deb on a host of its own, in a test VM that has systemd as PID 1 and no AgentGuard: installed, used, upgraded, removed,
# purged. Each check is a line; the last line counts them. Each file of checks/ is a topic; they run one after the other, on
# the same host, in the order of their names.
#
#   bash run.sh DIR [TOPIC...]    DIR has the debs that `cargo xtask package check` made
set -u
here=$(cd "$(dirname "$0")" && pwd)
debs=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
passed=0
failed=0
failures=()

# The two revisions.
first=$(ls "$debs"/agentguard_*-1_amd64.deb)
second=$(ls "$debs"/agentguard_*-2_amd64.deb)

# check NAME COMMAND...: the command must succeed.
check() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        failures+=("$name")
        echo "FAILED  $name"
        sed 's/^/        | /' "$work/out" | tail -n 25
    fi
}

# fails PATTERN COMMAND...: the command must fail, and say something that matches.
fails() {
    local pattern=$1 said
    shift
    if said=$("$@" 2>&1); then
        printf 'it succeeded:\n%s\n' "$said"
        return 1
    fi
    grep -Eq -- "$pattern" <<<"$said" || { printf 'it failed, but said:\n%s\n' "$said"; return 1; }
}

# says PATTERN COMMAND...: what the command prints must match, whatever its status.
says() {
    local pattern=$1 said
    shift
    said=$("$@" 2>&1)
    grep -Eq -- "$pattern" <<<"$said" || { printf 'it said:\n%s\n' "$said"; return 1; }
}

eventually() { # SECONDS COMMAND...
    local left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}

dev() { setpriv --reuid dev --regid dev --init-groups env HOME=/home/dev USER=dev LOGNAME=dev "$@"; }
enforces() { says '^canary +denied' agentctl status; }

wanted() { # TOPIC, of those that were asked for, if any were
    local topic=$1
    shift
    [ $# -eq 0 ] || grep -qw -- "$topic" <<<"$*"
}

for file in "$here"/checks/*.sh; do
    topic=$(basename "$file" .sh)
    wanted "${topic#*-}" "$@" || continue
    echo "== ${topic#*-}"
    # shellcheck source=/dev/null # each topic is a part of this script
    . "$file"
done

rm -rf "$work"
for name in "${failures[@]}"; do
    echo "test install: $name ... FAILED"
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
