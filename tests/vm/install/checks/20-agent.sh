# An ordinary user runs an agent, which is blocked.
usermod --append --groups agentguard dev
dev mkdir -p /home/dev/project /home/dev/.ssh
dev sh -c 'echo secret >/home/dev/.ssh/id_ed25519'

agent() { dev agentctl run --spec coding-agent --set workspace=/home/dev/project "$@"; }

check "an agent works in its workspace" agent -- sh -c 'echo hello >/home/dev/project/notes && cat /home/dev/project/notes'
check "it does not read a key" fails "Operation not permitted" agent -- cat /home/dev/.ssh/id_ed25519
check "which its user does" dev cat /home/dev/.ssh/id_ed25519
check "nor write to /etc" fails "Operation not permitted" agent -- sh -c 'cp /home/dev/project/notes /etc/notes'
check "nor did it" test ! -e /etc/notes
check "the record names the rule" says "filesystem.ssh_keys" eventually 20 agentctl events --verdict deny --path '/home/dev/.ssh/**'
