# Two agents try what they may not as fast as they can, each on a processor of its own, while agentd is killed, restarted,
# reloaded, replaced by another package and by one with other maps. Nothing gets through, and nobody else notices.
#
# PAUSE: seconds between two tries. With 0 they leave an emulated processor little time for anything else, agentd included.
kills=30
cat >"$work/agent.py" <<'PY'
import errno, os, sys, time
name, pause = sys.argv[1], float(sys.argv[2])
tries = read = denied = broken = 0
while not os.path.exists("/home/dev/project/enough"):
    tries += 1
    try:
        os.close(os.open("/home/dev/.ssh/id_ed25519", os.O_RDONLY))
        read += 1
    except OSError as error:
        denied += error.errno == errno.EPERM
    try:
        os.close(os.open("/home/dev/project/notes", os.O_RDONLY))
    except OSError:
        broken += 1
    if pause:
        time.sleep(pause)
print(f"{tries} tries, {read} read, {denied} denied, {broken} broken", file=open(f"/home/dev/project/{name}", "w"))
PY
# Not governed: files, processes, sockets, signals. Nothing of it may fail.
cat >"$work/neighbour.py" <<'PY'
import os, signal, socket, subprocess, sys, tempfile, time
server = socket.create_server(("127.0.0.1", 0))
done = 0
with tempfile.TemporaryDirectory() as folder:
    while not os.path.exists("/home/dev/project/enough"):
        path = os.path.join(folder, "file")
        with open(path, "w") as file:
            file.write("x")
        os.rename(path, path + ".new")
        assert open(path + ".new").read() == "x"
        os.unlink(path + ".new")
        assert open("/home/dev/.ssh/id_ed25519").read()
        with socket.create_connection(server.getsockname()):
            server.accept()[0].close()
        if done % 50 == 0:
            child = subprocess.Popen(["sleep", "60"])
            os.kill(child.pid, signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
        done += 1
        time.sleep(float(sys.argv[1]))
print(done, file=open("/home/dev/project/neighbour", "w"))
PY
install -m 0644 "$work/agent.py" "$work/neighbour.py" /home/dev/project
echo mine >/home/dev/project/notes
chown -R dev:dev /home/dev/project

for number in 0 1; do
    agent --name "tight-$number" -- taskset --cpu-list "$number" python3 /home/dev/project/agent.py "result-$number" "${PAUSE:-0}" \
        >/dev/null 2>&1 &
done
dev python3 /home/dev/project/neighbour.py "${PAUSE:-0}" >"$work/neighbour.log" 2>&1 &
both_run() { [ "$(agentctl agents -o json | jq '[.[] | select(.name | startswith("tight-")) | select(.processes > 0)] | length')" -eq 2 ]; }
check "two agents try again and again" eventually 60 both_run

# Most of these meet an agentd that is just taking over.
for _ in $(seq "$kills"); do
    systemctl kill --kill-whom main --signal KILL agentd 2>/dev/null
    sleep "$((RANDOM % 4)).$((RANDOM % 10))"
done
is_ready() { systemctl is-active --quiet agentd && agentctl status >/dev/null; }
check "agentd is back after $kills kills" eventually 300 is_ready
check "and governs both" both_run
for _ in 1 2 3; do agentctl policy reload >/dev/null || echo "a reload failed"; done
check "it reloads" systemctl reload agentd
check "it restarts" systemctl restart agentd
check "and governs both still" both_run
check "another revision comes" dpkg --install "$first"
check "and governs both, too" both_run

# An agentd with other maps has a folder of another name. To this one, those of this boot are such.
pins=/sys/fs/bpf/agentguard
layout=$(ls "$pins")
systemctl stop agentd
mv "$pins/$layout" "$pins/0123456789ab"
check "one with maps of another layout takes over" systemctl start agentd
check "and says from which" says "maps of layout $layout now; those of 0123456789ab are gone" \
    journalctl --boot --unit agentd --no-pager
check "leaves nothing behind" test ! -e "$pins/0123456789ab" -a -d "$pins/$layout"
check "and governs both agents" both_run

# Programs that it does not understand: it must not start beside them.
mkdir -p "$pins/ffffffffffff/maps" "$pins/ffffffffffff/links-1"
bpftool map create "$pins/ffffffffffff/maps/task_label" type hash key 4 value 4 entries 1 name other
bpftool link pin id "$(bpftool --json link list | jq '.[0].id')" "$pins/ffffffffffff/links-1/some"
systemctl restart agentd 2>/dev/null
check "one that can not take over says so" eventually 60 says "can not take over; they go on enforcing" \
    journalctl --boot --unit agentd --no-pager
rm -r "$pins/ffffffffffff"
check "and starts when it can" eventually 300 is_ready
check "governing both all the same" both_run

touch /home/dev/project/enough
results() { cat /home/dev/project/result-0 /home/dev/project/result-1 /home/dev/project/neighbour; }
check "both agents come to their end" eventually 60 results
results
check "neither ever read the key" says "^2$" sh -c 'cat /home/dev/project/result-* | grep -cE "^[0-9]{3,} tries, 0 read, "'
check "each try was denied" awk '$1 != $5 { exit 1 }' /home/dev/project/result-0 /home/dev/project/result-1
check "what they may never failed" says "^2$" sh -c 'cat /home/dev/project/result-* | grep -c ", 0 broken$"'
check "nor did anything of their neighbour" awk '$1 < 50 { exit 1 }' /home/dev/project/neighbour
wait
