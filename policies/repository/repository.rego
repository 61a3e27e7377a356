# Repository: what must survive where the agent works, and secrets among its own files.
#
# Guardrails go into the kernel: within this layer the most specific matching pattern decides, so every exception
# ("allow") is written more specifically than the rule it is an exception from.
package agentguard.repository

import rego.v1

files := data.files

# Whether a path is the directory or lies below it.
under(path, directory) if path == directory

under(path, directory) if startswith(path, sprintf("%s/", [directory]))

# ---- Where the agent works ----
#
# What follows is about files that the spec lets the agent change, so its patterns begin there. "**/.git/HEAD" would
# say the same with less, but every pattern that may begin anywhere multiplies the kernel's automaton.

changing := ["write", "create", "delete", "link", "audit"]

work_roots contains root if {
	closed
	some op in changing
	some pattern in input.agent.spec.files[op]
	regex.match(`[*?\[{]`, pattern)
	root := root_of(pattern)
	not is_scratch(root)
}

work_roots contains "" if not closed

# The spec says where the agent may change something, and says it without variables.
closed if {
	input.agent.spec.files["default"] == "deny"
	not is_open
}

is_open if {
	some op in changing
	some pattern in input.agent.spec.files[op]
	leads_anywhere(pattern)
}

leads_anywhere(pattern) if contains(pattern, "${")

leads_anywhere(pattern) if {
	contains(pattern, ".git")
	not regex.match(`[*?\[{]`, pattern)
}

# The directory above the first wildcard.
root_of(pattern) := regex.replace(regex.find_n(`^(\\.|[^*?\[{\\])*`, pattern, 1)[0], `/[^/]*$`, "")

# Package managers clone into caches and temporary directories, and clear them away. A workspace there is no scratch.
is_scratch(root) if {
	some directory in array.concat(files.scratch_directories, [sprintf("%s/%s", [input.agent.home, name]) |
		some name in files.home_scratch_directories
	])
	under(root, directory)
	not in_workspace(root)
}

in_workspace(root) if {
	count(input.agent.variables.workspace) > 1
	under(root, input.agent.variables.workspace)
}

in_work(patterns) := {sprintf("%s/**/%s", [root, pattern]) | some root in work_roots; some pattern in patterns}

# ---- HIGH: repositories. What git does not do in everyday work, and a deletion does ----
#
# git never opens HEAD, config, packed-refs or a branch for writing: it writes NAME.lock and renames it over NAME,
# which is a write to NAME and a deletion of NAME.lock. Loose objects and packs appear under tmp_… names and get
# their final name by link or rename; nothing but `git gc` and `git prune` ever removes or rewrites them.

guardrails contains {
	"id": "git_repository",
	"ops": ["delete"],
	"paths": in_work([
		".git",
		"*.git/{HEAD,config,packed-refs,objects,refs,shallow}",
		"*.git/refs/{heads,tags}",
		"*.git/refs/{heads,tags}/**",
		"*.git/objects/{pack,info,[0-9a-f][0-9a-f]}",
	]),
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "deleting a repository, a branch or a tag loses work",
} if {
	count(work_roots) > 0
}

guardrails contains {
	"id": "git_objects",
	"ops": ["write", "delete", "link"],
	"paths": in_work([
		"*.git/objects/[0-9a-f][0-9a-f]/[0-9a-f]*",
		"*.git/objects/pack/pack-*.{pack,idx}",
	]),
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a repository's history is never rewritten in place",
} if {
	count(work_roots) > 0
}

guardrails contains {
	"id": "git_locks",
	"ops": ["delete"],
	"paths": in_work(["*.git/refs/{heads,tags}/**.lock"]),
	"verdict": "allow",
	"severity": "MEDIUM",
	"reason": "git renames its lock files over branches and tags",
} if {
	count(work_roots) > 0
}

guardrails contains {
	"id": "git_hooks",
	"ops": ["write", "create"],
	"paths": in_work(["*.git/hooks/*"]),
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "a hook runs later, outside of governance, as whoever uses the repository",
} if {
	count(work_roots) > 0
}

guardrails contains {
	"id": "git_hook_samples",
	"ops": ["write", "create"],
	"paths": in_work(["*.git/hooks/*.sample"]),
	"verdict": "allow",
	"severity": "MEDIUM",
	"reason": "git init copies its samples, which never run",
} if {
	count(work_roots) > 0
}

# ---- MEDIUM: goes on, and is recorded ----

guardrails contains {
	"id": "environment_files",
	"ops": ["read"],
	"paths": in_work([".env", ".env.{local,production,staging}"]),
	"verdict": "audit",
	"severity": "MEDIUM",
	"reason": "often holds passwords and tokens",
} if {
	count(work_roots) > 0
}

guardrails contains {
	"id": "private_key_files",
	"ops": ["read"],
	"paths": in_work(["id_{rsa,dsa,ecdsa,ed25519}"]),
	"verdict": "audit",
	"severity": "MEDIUM",
	"reason": "named as a private key",
} if {
	count(work_roots) > 0
}
