# Restriction: what a promoted agent keeps when something stands against it that does not end it. It reads and finishes
# what it has begun in its own files; it cannot spend, send, publish or destroy.
#
# All of it holds in the state GOVERNED_RESTRICTED only. These guardrails are broad, and within their layer the most
# specific matching rule decides: an exception ("allow" or "audit") in any other pack must not open what is closed here.
# Lists are in data.json under "restriction".
package agentguard.restriction

import rego.v1

restriction := data.restriction

restricted if input.agent.state == "GOVERNED_RESTRICTED"

anywhere := ["0.0.0.0/0", "::/0"]

loopback := ["127.0.0.0/8", "::1/128"]

# ---- Nothing is sent. Loopback stays open by network.ports_on_loopback, as far as the spec grants it ----

guardrails contains {
	"id": "only_this_host",
	"ops": ["connect", "listen"],
	"addresses": anywhere,
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a restricted agent talks to this host only; no model, no registry, no other machine",
} if {
	restricted
}

# What listens there passes on what it is told: resolvers, proxies, mail servers.
guardrails contains {
	"id": "forwarding_on_loopback",
	"ops": ["connect"],
	"addresses": loopback,
	"ports": restriction.forwarding_ports,
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a service of this host that sends to others what a restricted agent tells it",
} if {
	restricted
}

guardrails contains {
	"id": "host_sockets",
	"ops": ["connect"],
	"paths": restriction.sockets,
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "services of this host act for whoever connects to them; a restricted agent keeps the sockets among its files",
} if {
	restricted
}

guardrails contains {
	"id": "publishing",
	"commands": array.concat(publishing_commands, sending_commands),
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "publishes, deploys or sends; an agent that is restricted does not until its owner has mended what governance refuses",
} if {
	restricted
}

publishing_commands := [sprintf("%s %s*", [spellings(program), words]) |
	some program, subcommands in restriction.publishing
	some words in subcommands
]

sending_commands := [command |
	some program in restriction.sending_programs
	some arguments in ["", " *"]
	command := sprintf("%s%s", [spellings(program), arguments])
]

# Written out, not "*/git": an open start in many patterns makes the automaton large.
spellings(program) := sprintf("{%s}", [concat(",", [spelling |
	some directory in array.concat([""], data.process.program_directories)
	spelling := sprintf("%s%s", [directory, program])
])])

# The same with options before the subcommand, where policy reads the arguments anyway.
decide contains {
	"id": "publishing",
	"answer": "deny",
	"severity": "HIGH",
	"reason": sprintf("%s %s publishes or deploys, and the agent is restricted", [program.name, words]),
} if {
	restricted
	input.request.call == "exec"
	some program in data.agentguard.process.programs
	some words in restriction.publishing[program.name]
	every word in split(words, " ") {
		word in program.args
	}
}

# ---- Nothing is destroyed ----

guardrails contains {
	"id": "deletions",
	"ops": ["delete"],
	"path": "/**",
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a restricted agent deletes and renames nothing",
} if {
	restricted
}

# Writing a commit renames lock files and clears away what git itself has just made.
guardrails contains {
	"id": "git_temporary_files",
	"ops": ["delete"],
	"paths": [sprintf("%s/**/%s", [root, pattern]) |
		some root in data.agentguard.repository.work_roots
		some pattern in ["*.git/**.lock", "*.git/objects/{pack,[0-9a-f][0-9a-f]}/tmp_*"]
	],
	"verdict": "allow",
	"severity": "MEDIUM",
	"reason": "git's own lock and temporary files: finished work can still be committed",
} if {
	restricted
	count(data.agentguard.repository.work_roots) > 0
}

# ---- Nothing is gained ----

guardrails contains {
	"id": "privileges",
	"classes": [
		"exec_privileged", "exec_memfd", "set_id", "user_namespace", "ptrace", "signal", "mount", "kernel", "io_uring",
		"socket_netlink", "socket_ping", "socket_raw", "socket_packet", "socket_other",
	],
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a restricted agent gets no privilege and reaches no other process, whatever its tier and spec",
} if {
	restricted
}

guardrails contains {
	"id": "capabilities",
	"capabilities": restriction.capabilities,
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a restricted agent uses no capability beyond those over its own files",
} if {
	restricted
}
