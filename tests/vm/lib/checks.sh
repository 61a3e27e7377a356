# What the scripts that run in the test VM check with. Each check is a line; `summary` counts them.
# The script that reads this has set `work`, a folder of its own.
# shellcheck shell=bash
passed=0
failed=0
failures=()

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

# eventually SECONDS COMMAND...: the command must succeed, at the latest then.
eventually() {
    local left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}

# dev COMMAND...: as an ordinary user.
dev() { setpriv --reuid dev --regid dev --init-groups env HOME=/home/dev USER=dev LOGNAME=dev "$@"; }

# summary OF: names what failed and counts; whether all is well.
summary() {
    local name
    for name in "${failures[@]}"; do
        echo "test $1: $name ... FAILED"
    done
    echo "$passed passed, $failed failed, 0 skipped"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
