# From nothing to a host that governs.

# files: all there are, but for what a running system writes and what agents were given to work in.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /share -o \
        -path /home -o -path /root -o -path /srv -o \
        -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /var/tmp \) -prune -o -print | LC_ALL=C sort
}
files >"$work/before"

check "nothing of it is there" test ! -e /usr/bin/agentctl
dpkg --install "$first" >"$work/install" 2>&1
check "dpkg installs it" says "^Status: install ok installed" dpkg --status agentguard
check "without a word of warning" fails "" grep -i "agentguard: " "$work/install"
check "agentd runs" systemctl is-active agentd
check "and does at the next boot" systemctl is-enabled agentd
check "it answers" agentctl status
check "and enforces" enforces
check "files are as they were packed" dpkg --verify agentguard
check "the group is there" getent group agentguard
check "state is for root alone" says "^700 root root$" stat --format '%a %U %G' /var/lib/agentguard
check "the manual is there" sh -c '
    gzip --decompress --stdout /usr/share/man/man8/agentd.8.gz | grep -q -- "unload" &&
    gzip --decompress --stdout /usr/share/man/man1/agentctl.1.gz | grep -q "^.SH"'
check "bash completes agentctl" bash -c '. /usr/share/bash-completion/completions/agentctl && complete -p agentctl'
check "shipped policy is in force" says "filesystem.*network.*process" agentctl status
check "shipped specs are found by name" agentctl spec check /usr/share/agentguard/specs/coding-agent.toml --set workspace=/home/dev
check "doctor knows this host" says "lsm" agentctl doctor
