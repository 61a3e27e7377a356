# Filesystem: what no agent may do to files, whatever its spec grants.
#
# Guardrails go into the kernel: within this layer the most specific matching pattern decides. So every exception
# ("allow") below is written more specifically than the rule it is an exception from, and anything that is only worth
# a look is a finding (`deny`), not an "audit" guardrail that could outrank a denial.
#
# Lists are in data.json under "files".
package agentguard.filesystem

import rego.v1

files := data.files

# Every operation on a path, and those that change something.
every_op := ["read", "write", "create", "delete", "attr", "link", "exec", "map_exec", "connect"]

changes := ["write", "create", "delete", "attr", "link"]

# A home as a pattern starts with "/home/*" or is written out. The agent's own home may be elsewhere (a service
# user, a container); characters that mean something in a pattern are escaped.
agent_home contains escaped if {
	startswith(input.agent.home, "/")
	count(input.agent.home) > 1
	not regex.match(`^/home/[^/]+$`, input.agent.home)
	not endswith(input.agent.home, "/")
	escaped := regex.replace(input.agent.home, `([*?{}\[\]\\,])`, `\${1}`)
}

homes := {home | some home in files.homes} | agent_home

in_homes(names) := {sprintf("%s/%s", [home, name]) | some home in homes; some name in names}

# A directory and everything below it.
trees(directories) := {pattern |
	some directory in directories
	some pattern in [directory, sprintf("%s/**", [directory])]
}

# The most trusted tier may change system configuration, on the record, unless it has lost that trust.
trusted if {
	input.agent.tier == 1
	input.agent.role != "ideation"
	not restricted
}

restricted if input.agent.state == "GOVERNED_RESTRICTED"

default verdict_on_configuration := "deny"

verdict_on_configuration := "audit" if trusted

# ---- CRITICAL: one request of this kind hands over the host ----

guardrails contains {
	"id": "shadow",
	"ops": every_op,
	"paths": ["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-"],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "password hashes of this host",
}

guardrails contains {
	"id": "identity_files",
	"ops": changes,
	"paths": files.identity_files,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "who is who on this host: users, groups and names are not an agent's to change",
}

guardrails contains {
	"id": "ssh_keys",
	"ops": every_op,
	"paths": trees(in_homes([".ssh"])),
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "SSH keys and the list of who may log in",
}

guardrails contains {
	"id": "system_secrets",
	"ops": every_op,
	"paths": {path | some path in files.system_secret_files} | trees(files.system_secret_directories),
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "private keys and passwords of this host",
}

guardrails contains {
	"id": "runtime_sockets",
	"ops": every_op,
	"paths": {path | some path in files.runtime_sockets} | {path |
		some socket in input.host.runtime_sockets
		regex.match(`^/[^*?{}\[\]\\,]+[^/]$`, socket)
		path := socket
	},
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "whoever may talk to a container runtime is root on this host",
}

guardrails contains {
	"id": "kernel_helpers",
	"ops": changes,
	"paths": files.kernel_helpers,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "names a program that the kernel itself runs as root",
}

guardrails contains {
	"id": "kernel_settings",
	"ops": changes,
	"paths": ["/proc/sys/**", "/proc/irq/**", "/proc/bus/**", "/proc/acpi/**", "/proc/fs/**", "/sys", "/sys/**"],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "kernel settings hold for the whole host",
}

guardrails contains {
	"id": "cgroups",
	"ops": changes,
	"paths": trees(["/sys/fs/cgroup"]),
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "moving between cgroups, freezing and release agents are ways out of governance",
}

guardrails contains {
	"id": "kernel_debugging",
	"ops": every_op,
	"paths": trees(["/sys/kernel/debug", "/sys/kernel/tracing", "/sys/fs/bpf", "/sys/firmware/efi/efivars"]),
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "shows or changes what the kernel and agentd's programs do",
}

guardrails contains {
	"id": "process_memory",
	"ops": changes,
	"paths": ["/proc/*/mem", "/proc/*/task/*/mem"],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "writing memory through /proc goes around every check of executable memory",
}

guardrails contains {
	"id": "physical_memory",
	"ops": every_op,
	"paths": files.memory_devices,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "memory of the whole host",
}

guardrails contains {
	"id": "block_devices",
	"ops": every_op,
	"paths": files.block_devices,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "a raw disk is every file on it, without any rule",
}

guardrails contains {
	"id": "agentd_files",
	"ops": changes,
	"paths": trees(["/etc/agentguard", "/var/lib/agentguard", "/run/agentguard", "/usr/lib/agentguard", "/usr/libexec/agentguard", "/usr/share/agentguard"]) | agentd_programs,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "agentd's own programs, policy, specs, state and sockets",
}

agentd_programs := {
	"/usr/bin/agentd", "/usr/sbin/agentd", "/usr/local/bin/agentd",
	"/usr/bin/agentctl", "/usr/local/bin/agentctl",
}

guardrails contains {
	"id": "agentd_state",
	"ops": ["read", "connect", "exec", "map_exec"],
	"paths": trees(["/var/lib/agentguard", "/run/agentguard"]),
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "records of every agent, and the socket that governs them",
}

# ---- CRITICAL or HIGH: stays after the agent has gone ----

guardrails contains {
	"id": "system_persistence",
	"ops": changes,
	"paths": {path | some path in files.persistence_files} | trees(files.persistence_directories),
	"verdict": verdict_on_configuration,
	"severity": "CRITICAL",
	"reason": "read or run as root by the system: services, timers, cron, PAM, sudo, the loader, boot",
}

guardrails contains {
	"id": "login_persistence",
	"ops": changes,
	"paths": in_homes(files.login_files) | trees(in_homes(files.login_directories)),
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "run outside of governance when the user logs in the next time",
}

guardrails contains {
	"id": "logs",
	"ops": ["write", "delete", "attr", "link"],
	"paths": {path | some path in files.log_files} | trees(files.log_directories),
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "the host's logs are evidence",
}

# ---- HIGH: secrets of people ----

guardrails contains {
	"id": "credentials",
	"ops": every_op,
	"paths": in_homes(files.credential_files) | trees(in_homes(files.credential_directories)),
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "credentials of a person: cloud, registry, password store",
}

guardrails contains {
	"id": "kubeconfig",
	"ops": every_op,
	"paths": trees(in_homes([".kube"])),
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "cluster credentials; only analysis and compliance agents of tier 1 or 2 whose spec names them may read them",
} if {
	not may_use_cluster
}

may_use_cluster if {
	input.agent.tier <= 2
	input.agent.role != "ideation"
	some pattern in input.agent.spec.files.read
	contains(pattern, "/.kube/")
}

guardrails contains {
	"id": "browser_profiles",
	"ops": every_op,
	"paths": trees(in_homes(files.browser_directories)),
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "cookies, passwords and mail of a person",
}

guardrails contains {
	"id": "shell_history",
	"ops": every_op,
	"paths": in_homes(files.history_files),
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "what a person typed, often with passwords in it",
}

guardrails contains {
	"id": "host_devices",
	"ops": every_op,
	"paths": files.host_devices,
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "input, consoles, tunnels and virtual machines of this host",
}

# ---- MEDIUM: goes on, and is recorded ----

guardrails contains {
	"id": "service_account",
	"ops": ["read"],
	"path": "/run/secrets/kubernetes.io/serviceaccount/**",
	"verdict": "audit",
	"severity": "MEDIUM",
	"reason": "the pod's own credentials for the cluster",
}

# ---- Findings: what one recorded request says ----

# Whether a path is the directory or lies below it.
under(path, directory) if path == directory

under(path, directory) if startswith(path, sprintf("%s/", [directory]))

# The last ".xyz" of the name, in lower case; empty without one.
default extension(_) := ""

extension(path) := lower(found) if {
	parts := split(path, "/")
	name := parts[count(parts) - 1]
	matches := regex.find_n(`\.[A-Za-z0-9]+$`, name, 1)
	found := matches[0]
}

larger(bytes, limit) if bytes >= limit

changed if input.request.operation in {"write", "create"}

deny contains {
	"id": "large_database_read",
	"severity": "HIGH",
	"reason": sprintf("%d bytes read from a database file", [input.request.read_bytes]),
} if {
	larger(input.request.read_bytes, files.large_read_bytes)
	is_database(input.request.path)
}

is_database(path) if extension(path) in files.database_extensions

is_database(path) if {
	some directory in files.database_directories
	under(path, directory)
}

deny contains {
	"id": "sensitive_directory",
	"severity": "HIGH",
	"reason": sprintf("read below %s", [directory]),
} if {
	input.request.operation == "read"
	some directory in files.sensitive_directories
	under(input.request.path, directory)
	not under(input.request.path, input.agent.home)
	not startswith(input.request.path, "/etc/ssl/certs")
	not input.request.path in {"/etc/ssl", "/etc/ssl/openssl.cnf", "/etc/ssh", "/etc/ssh/ssh_config"}
}

deny contains {
	"id": "configuration_write",
	"severity": "HIGH",
	"reason": "changes the configuration of this host",
} if {
	changed
	under(input.request.path, "/etc")
}

deny contains {
	"id": "temporary_export",
	"severity": "MEDIUM",
	"reason": "a large file or an archive in a directory that everyone can read",
} if {
	some directory in files.temporary_directories
	under(input.request.path, directory)
	exports
}

exports if larger(input.request.written_bytes, files.large_export_bytes)

exports if {
	input.request.operation == "create"
	extension(input.request.path) in files.export_extensions
}

deny contains {
	"id": "unusual_path",
	"severity": "MEDIUM",
	"reason": "a hidden name in a shared directory, or a name made to be overlooked",
} if {
	input.request.operation in {"create", "exec", "command"}
	unusual(input.request.path)
}

unusual(path) if {
	some directory in files.temporary_directories
	startswith(path, sprintf("%s/.", [directory]))
}

# Names of blanks and dots only, or with a control character, hide in a listing.
unusual(path) if regex.match(`/[ .]+$|/[ .]{2,}/|[\x00-\x1f\x7f]`, path)
