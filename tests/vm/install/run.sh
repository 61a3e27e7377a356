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
# shellcheck source=tests/vm/lib/checks.sh
. "$here/../lib/checks.sh"

# The two revisions.
first=$(ls "$debs"/agentguard_*-1_amd64.deb)
second=$(ls "$debs"/agentguard_*-2_amd64.deb)

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
summary install
