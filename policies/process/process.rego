# Process: which programs, privileges and commands no agent may use, whatever its spec grants.
#
# Command guardrails look at the joined command line in the kernel and catch the plain spellings, early and with a
# reason that says what was meant. Programs that do what their arguments say wait until this policy has taken those
# apart. Neither is a wall: what a command would do is decided again at every file, socket and privilege that it asks
# for. Lists are in data.json under "process".
package agentguard.process

import rego.v1

process := data.process

# ---- Privileges ----

guardrails contains {
	"id": "kernel_code",
	"class": "kernel",
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "modules, BPF programs and kexec change the kernel that enforces this policy",
}

guardrails contains {
	"id": "io_uring_privileged",
	"class": "io_uring",
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a kernel thread or somebody else's credentials would act for the agent",
}

# From here on the tier decides: the higher, the less a spec may grant.
guardrails contains {
	"id": "other_processes",
	"classes": ["ptrace", "signal"],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "controls processes that are not this agent's; only tier 1 may be granted this",
} if {
	input.agent.tier > 1
}

guardrails contains {
	"id": "mounts",
	"class": "mount",
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "gives files other paths than the rules know; only tier 1 may be granted this",
} if {
	input.agent.tier > 1
}

guardrails contains {
	"id": "raised_privilege",
	"classes": ["exec_privileged", "set_id"],
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "sudo, setuid programs and other users' identities; only tier 1 may be granted this",
} if {
	input.agent.tier > 1
}

guardrails contains {
	"id": "nameless_programs",
	"class": "exec_memfd",
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a program without a file cannot be told from any other; only tiers 1 and 2 may be granted this",
} if {
	input.agent.tier > 2
}

guardrails contains {
	"id": "namespaces",
	"class": "user_namespace",
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a user namespace opens kernel interfaces meant for root; only tiers 1 and 2 may be granted this",
} if {
	input.agent.tier > 2
}

guardrails contains {
	"id": "generated_code",
	"class": "exec_anonymous",
	"verdict": "deny",
	"severity": "MEDIUM",
	"reason": "executable memory without a file; tier 4 may not be granted this",
} if {
	input.agent.tier > 3
}

guardrails contains {
	"id": "kernel_capabilities",
	"capabilities": process.capabilities_critical,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "a capability that is as good as root over this host",
}

guardrails contains {
	"id": "host_capabilities",
	"capabilities": process.capabilities_high,
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a capability over other processes, devices, the network or the audit trail of this host",
}

# ---- Commands. The program is written out, not "*/rm": an open start in many patterns makes the automaton large ----

spellings(programs) := sprintf("{%s}", [concat(",", sort([spelling |
	some program in programs
	some directory in array.concat([""], process.program_directories)
	spelling := sprintf("%s%s", [directory, program])
]))])

# Characters that mean something in a pattern.
literal(text) := regex.replace(text, `([*?{}\[\]\\,])`, `\${1}`)

homes := sort({home |
	some home in {"~", "$HOME", input.agent.home}
	count(home) > 0
})

workspace := [input.agent.variables.workspace |
	count(input.agent.variables.workspace) > 1
]

# What must not be removed as a whole: the root, homes, the workspace and its repository.
precious := array.concat(["/", "/\\*", "/.", "/./", ".git", "./.git", ".git/", "*/.git", "*/.git/"], [pattern |
	some directory in array.concat(homes, workspace)
	some ending in ["", "/", "/\\*"]
	pattern := sprintf("%s%s", [literal(directory), ending])
])

guardrails contains {
	"id": "remove_everything",
	"commands": array.concat(
		[sprintf("%s -*%s", [spellings(["rm"]), tail]) |
			some tail in [sprintf(" {%s}", [concat(",", precious)]), sprintf(" {%s} *", [concat(",", precious)])]
		],
		[
			sprintf("%s {%s} -*", [spellings(["rm"]), concat(",", precious)]),
			sprintf("%s -* /{%s} /{%s}*", [
				spellings(["rm"]),
				concat(",", process.system_directories),
				concat(",", process.system_directories),
			]),
			sprintf("%s *--no-preserve-root*", [spellings(["rm"])]),
		],
	),
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "removes the root, a home, the workspace or its repository",
}

guardrails contains {
	"id": "write_to_disk",
	"commands": [
		sprintf("%s *of=/dev/{sd,hd,vd,xvd,nvme,mmcblk,md,dm-,mapper/,disk/,loop,mem,kmem,port}*", [spellings(["dd"])]),
		sprintf("%s */dev/{sd,hd,vd,xvd,nvme,mmcblk,md,dm-,mapper/,disk/}*", [spellings(process.disk_tools)]),
	],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "writes to or formats a disk",
}

guardrails contains {
	"id": "change_everything",
	"commands": [sprintf("%s -*R* {%s}", [spellings(["chmod", "chown", "chgrp"]), concat(",", everything)])],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "changes mode or owner of the whole system or home",
}

everything := array.concat(["/", "/\\*"], [literal(home) | some home in homes])

guardrails contains {
	"id": "fork_bomb",
	"commands": [sprintf("%s -*c *:()*\\{*:|:*&*", [spellings(process.shells)])],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "a fork bomb",
}

guardrails contains {
	"id": "run_from_network",
	"commands": [
		sprintf("%s -*c *{%s} *{%s}", [spellings(process.shells), downloaders, into_interpreter]),
		sprintf("%s -*c *{%s} *{%s}{ ,;,&,),|}*", [spellings(process.shells), downloaders, into_interpreter]),
		sprintf("%s -*c *{sh,source,.} <({%s} *", [spellings(process.shells), downloaders]),
	],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "runs a program straight from the network; download it, look at it, then run it",
}

downloaders := concat(",", process.downloaders)

into_interpreter := concat(",", [pipe |
	some interpreter in process.interpreters
	some before in ["|", "| ", "|sudo ", "| sudo "]
	pipe := sprintf("%s%s", [before, interpreter])
])

# ---- Programs whose arguments are read before they start ----

guardrails contains {
	"id": "evaluated_programs",
	"paths": [sprintf("/**/{%s}", [concat(",", process.evaluated_programs)])],
	"ops": ["exec"],
	"verdict": "evaluate",
	"severity": "MEDIUM",
	"reason": "what this program does is in its arguments; policy reads them before it starts",
} if {
	input.host.backend != "tracing" # it can not wait there, and findings tell afterwards
}

# By the name that it is called, too: what is called npm is a script somewhere else. Shells start without a question,
# also while agentd is down: what they start is asked about itself, and run_from_network is decided in the kernel.
guardrails contains {
	"id": "evaluated_commands",
	"commands": [
		spellings(process.evaluated_programs),
		sprintf("%s *", [spellings(process.evaluated_programs)]),
	],
	"verdict": "evaluate",
	"severity": "MEDIUM",
	"reason": "what this program does is in its arguments; policy reads them before it starts",
} if {
	input.host.backend != "tracing"
}

# What a finding means for a command that waits. Not all of them: what privileges, sockets and capabilities decide
# anyway needs nobody's answer.
answers := {"CRITICAL": "deny", "HIGH": "ask"}

decide contains {
	"id": finding.id,
	"answer": answers[finding.severity],
	"severity": finding.severity,
	"reason": finding.reason,
} if {
	input.request.call == "exec"
	some finding in deny
	finding.id in process.decided_findings
}

decide contains {
	"id": "containers",
	"answer": "deny",
	"severity": "CRITICAL",
	"reason": sprintf("%s starts programs that are not governed", [program.name]),
} if {
	input.request.call == "exec"
	some program in programs
	program.name in process.container_tools
}

# More than the kernel reads: nobody can say what is in the rest.
decide contains {
	"id": "long_command",
	"answer": "ask",
	"severity": "HIGH",
	"reason": "the command line is longer than 4 KiB; only its beginning can be read",
} if {
	input.request.truncated
	is_shell
}

# Only for commands that this pack itself has made wait: what a spec holds is for its reviewers.
decide contains {
	"id": "ordinary_command",
	"answer": "allow",
	"severity": "MEDIUM",
	"reason": "nothing in this command line asks for a second look",
	"reuse_sec": process.ordinary_command_sec,
} if {
	startswith(input.held.rule, "process.evaluated_")
	input.request.call == "exec"
	not worth_a_question
}

worth_a_question if {
	some finding in deny
	finding.id in process.decided_findings
	answers[finding.severity]
}

worth_a_question if {
	some program in programs
	program.name in process.container_tools
}

# ---- Findings: a command line taken apart ----

base(word) := parts[count(parts) - 1] if parts := split(word, "/")

argv := input.request.argv

is_shell if base(argv[0]) in process.shells

# The first argument is whatever the caller likes; the file that starts is not.
is_shell if base(input.request.path) in process.shells

programs contains {"name": base(input.request.path), "args": array.slice(argv, 1, count(argv))} if {
	input.request.call == "exec"
	not is_shell
}

# What a shell was told to run: the word after -c, -lc, -ec …
script := argv[first + 1] if {
	is_shell
	first := min([i | some i, word in argv; regex.match(`^-[a-z]*c$`, word)])
}

# Each simple command as words. Quotes are not taken apart: this names things to look at, it does not decide.
commands contains words if {
	some part in regex.split(`\|\||&&|[;|&\n]`, script)
	words := [word | some word in regex.split(`\s+`, trim_space(part)); word != ""]
	count(words) > 0
}

commands contains argv if not script

# The program behind sudo, env, timeout and their options.
programs contains {"name": base(words[first]), "args": array.slice(words, first + 1, count(words))} if {
	some words in commands
	first := program_at(words)
}

# Mostly the first word: others are looked at only if it is none.
program_at(words) := 0 if {
	not leading(words[0])
} else := min([i | some i, word in words; not leading(word)])

leading(word) if base(word) in process.wrappers

leading(word) if regex.match(`^-|^[A-Za-z_][A-Za-z0-9_]*=|^[0-9.]+[smhd]?$`, word)

recursive(args) if {
	some word in args
	regex.match(`^-[A-Za-z]*[rR]|^--recursive$`, word)
}

forced(args) if {
	some word in args
	regex.match(`^-[A-Za-z]*f|^--force`, word)
}

targets(args) := {word | some word in args; not startswith(word, "-")}

deny contains {
	"id": "remove_everything",
	"severity": "CRITICAL",
	"reason": sprintf("removes %s", [target]),
} if {
	some program in programs
	program.name == "rm"
	recursive(program.args)
	some target in targets(program.args)
	is_precious(target)
}

is_precious(target) if trim_suffix(trim_suffix(target, "*"), "/") in {"", "~", "$HOME", "${HOME}", ".", "..", ".git", input.agent.home}

is_precious(target) if trim_suffix(trim_suffix(target, "*"), "/") in workspace

is_precious(target) if regex.match(`/\.git/?$`, target)

is_precious(target) if {
	some directory in process.system_directories
	trim_suffix(trim_suffix(target, "*"), "/") == sprintf("/%s", [directory])
}

deny contains {
	"id": "remove_elsewhere",
	"severity": "HIGH",
	"reason": sprintf("removes %s, which is not in the workspace", [target]),
} if {
	some program in programs
	program.name == "rm"
	recursive(program.args)
	forced(program.args)
	some target in targets(program.args)
	startswith(target, "/")
	not inside(target)
}

inside(target) if {
	some directory in array.concat(workspace, ["/tmp", "/var/tmp"])
	startswith(target, sprintf("%s/", [directory]))
}

deny contains {
	"id": "write_to_disk",
	"severity": "CRITICAL",
	"reason": sprintf("%s writes to %s", [program.name, target]),
} if {
	some program in programs
	program.name in array.concat(["dd"], process.disk_tools)
	some target in program.args
	regex.match(`^(of=)?/dev/(sd|hd|vd|xvd|nvme|mmcblk|md|dm-|mapper/|disk/|loop|mem|kmem)`, target)
}

deny contains {
	"id": "format_disk",
	"severity": "CRITICAL",
	"reason": sprintf("%s makes a file system", [program.name]),
} if {
	some program in programs
	startswith(program.name, "mkfs")
}

deny contains {
	"id": "fork_bomb",
	"severity": "CRITICAL",
	"reason": "a function that starts itself twice in the background",
} if {
	script
	some found in regex.find_all_string_submatch_n(`([^\s;|&(){}]+)\s*\(\)\s*\{`, script, -1)
	calls := sprintf("%s|%s&", [found[1], found[1]])
	contains(regex.replace(script, `\s+`, ""), calls)
}

deny contains {
	"id": "run_from_network",
	"severity": "CRITICAL",
	"reason": "pipes a download into an interpreter",
} if {
	script
	regex.match(sprintf(`\b(%s)\b[^;\n]*(\|\s*(sudo\s+)?(\S*/)?(%s)\b|\|\s*sudo\b)`, [
		concat("|", process.downloaders),
		concat("|", process.interpreters),
	]), script)
}

deny contains {
	"id": "run_from_network_substitution",
	"severity": "CRITICAL",
	"reason": "runs what a download printed",
} if {
	script
	regex.match(sprintf(`\b(%s|eval|source)\s[^;\n]*(<|\$)\(\s*(%s)\b`, [
		concat("|", process.interpreters),
		concat("|", process.downloaders),
	]), script)
}

deny contains {
	"id": "reverse_shell",
	"severity": "CRITICAL",
	"reason": "connects a shell to the network",
} if {
	regex.match(`/dev/(tcp|udp)/|\b(nc|ncat|netcat|socat)\b.*(\s-[a-z]*[ec]\b|exec:|EXEC:)|pty\.spawn`, input.request.object)
}

deny contains {
	"id": "encoded_program",
	"severity": "HIGH",
	"reason": "runs a program that is hidden in an encoding",
} if {
	regex.match(`\b(base64|base32|xxd|openssl)\b[^;\n]*\|\s*(sudo\s+)?(\S*/)?(sh|bash|dash|zsh|python3?|perl)\b`, script)
}

deny contains {
	"id": "raised_privilege",
	"severity": "HIGH",
	"reason": sprintf("asks for another identity by %s", [name]),
} if {
	regex.match(`\b(sudo|su|doas|pkexec|runuser)\b`, input.request.object)
	some words in commands
	some word in words
	name := base(word)
	name in {"sudo", "su", "doas", "pkexec", "runuser"}
}

deny contains {
	"id": "outside_of_governance",
	"severity": "CRITICAL",
	"reason": sprintf("%s starts programs that are not governed", [program.name]),
} if {
	some program in programs
	program.name in {"systemd-run", "at", "batch", "crontab", "nsenter", "machinectl", "docker", "podman", "nerdctl", "ctr", "crictl"}
}

deny contains {
	"id": "against_agentd",
	"severity": "CRITICAL",
	"reason": sprintf("%s speaks about agentd", [program.name]),
} if {
	some program in programs
	program.name in {"systemctl", "service", "kill", "pkill", "killall", "bpftool"}
	some word in program.args
	contains(word, "agentd")
}

deny contains {
	"id": "kernel_tools",
	"severity": "HIGH",
	"reason": sprintf("%s changes the kernel, the firewall or mounts", [program.name]),
} if {
	some program in programs
	program.name in {"insmod", "modprobe", "rmmod", "kexec", "bpftool", "iptables", "ip6tables", "nft", "mount", "umount", "sysctl"}
}

deny contains {
	"id": "irreversible_change",
	"severity": "HIGH",
	"reason": sprintf("%s cannot be taken back", [concat(" ", array.concat([program.name], wanted))]),
} if {
	some program in programs
	some wanted in process.irreversible[program.name]
	every word in wanted {
		word in program.args
	}
}

deny contains {
	"id": "foreign_package",
	"severity": "HIGH",
	"reason": sprintf("%s takes a package from %s, which is no package index of this host", [program.name, word]),
} if {
	some program in programs
	program.name in process.package_managers
	some word in program.args
	regex.match(`^(git\+|https?:|git:|ssh:|file:)|^--(extra-)?index-url(=|$)|^--registry(=|$)`, word)
}

deny contains {
	"id": "package_for_everyone",
	"severity": "HIGH",
	"reason": sprintf("%s installs for the whole host", [program.name]),
} if {
	some program in programs
	program.name in process.package_managers
	some word in program.args
	word in {"-g", "--global", "--break-system-packages"}
}

deny contains {
	"id": "open_to_everyone",
	"severity": "MEDIUM",
	"reason": "lets everyone write",
} if {
	some program in programs
	program.name == "chmod"
	some word in program.args
	regex.match(`^0?777$|^[ugoa]*o?\+[rwx]*w[rwx]*$`, word)
	not regex.match(`^u\+`, word)
}
