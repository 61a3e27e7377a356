package agentguard.restriction_test

import rego.v1

import data.agentguard.restriction

host := {"hostname": "h", "kernel": "6.1.0", "backend": "lsm", "runtime_sockets": [], "nameservers": [], "interfaces": []}

agent := {
	"name": "coder", "role": "ideation", "tier": 1, "mode": "enforce", "state": "GOVERNED_RESTRICTED", "uid": 1000,
	"home": "/home/ada", "variables": {"workspace": "/srv/work"},
	"spec": {"files": {"default": "deny", "write": ["/srv/work/**"]}},
}

with_agent(changes) := {"agent": object.union(agent, changes), "host": host}

runs(argv) := {
	"agent": agent, "host": host,
	"request": {"call": "exec", "operation": "exec", "path": sprintf("/usr/bin/%s", [argv[0]]), "object": concat(" ", argv), "argv": argv},
	"held": {"rule": "process.evaluated_programs"},
}

guardrail(id) := found if {
	some found in restriction.guardrails
	found.id == id
}

ids := {found.id | some found in restriction.guardrails}

decided := {found.id: found.answer | some found in restriction.decide}

test_every_other_state_is_left_alone if {
	every state in ["UNREGISTERED", "SANDBOX", "GOVERNED_VALID", "GOVERNED_INVALIDATED"] {
		ids == set() with input as with_agent({"state": state})
	}
	decided == {} with input as object.union(runs(["git", "push"]), {"agent": {"state": "GOVERNED_VALID"}})
}

test_an_input_without_a_state_is_left_alone if {
	ids == set() with input as {"agent": object.remove(agent, ["state"]), "host": host}
}

test_nothing_leaves_this_host if {
	found := guardrail("only_this_host") with input as with_agent({})
	found.addresses == ["0.0.0.0/0", "::/0"]
	found.ops == ["connect", "listen"]
	not found.ports
}

test_what_passes_on_is_closed_on_loopback_too if {
	found := guardrail("forwarding_on_loopback") with input as with_agent({})
	{53, 3128} & {port | some port in found.ports} == {53, 3128}
	"/run/**" in guardrail("host_sockets").paths with input as with_agent({})
}

test_plain_spellings_of_publishing_are_denied_in_the_kernel if {
	found := guardrail("publishing") with input as with_agent({})
	every command in ["{git,/bin/git,/usr/bin/git,/sbin/git,/usr/sbin/git} push*", "{ssh,/bin/ssh,/usr/bin/ssh,/sbin/ssh,/usr/sbin/ssh} *"] {
		command in found.commands
	}
}

test_publishing_with_options_before_it_is_denied_when_it_waits if {
	every argv in [["git", "-C", "sub", "push", "origin"], ["npm", "--registry", "x", "publish"], ["git", "svn", "-n", "dcommit"], ["kubectl", "-n", "a", "apply", "-f", "x"]] {
		decided == {"publishing": "deny"} with input as runs(argv)
	}
	every argv in [["git", "commit", "-m", "push it"], ["npm", "test"], ["git", "svn", "log"]] {
		decided == {} with input as runs(argv)
	}
}

test_nothing_is_deleted_but_what_git_itself_puts_beside_a_commit if {
	guardrail("deletions").path == "/**" with input as with_agent({})
	kept := guardrail("git_temporary_files") with input as with_agent({})
	kept.verdict == "allow"
	every path in kept.paths {
		startswith(path, "/srv/work/**/*.git/")
	}
}

test_an_agent_that_works_nowhere_gets_no_exception if {
	nowhere := {"agent": object.union(object.remove(agent, ["spec"]), {"spec": {"files": {"default": "deny"}}}), "host": host}
	ids & {"deletions", "git_temporary_files"} == {"deletions"} with input as nowhere
}

test_even_the_most_trusted_tier_gets_no_privilege if {
	found := guardrail("privileges") with input as with_agent({})
	every class in ["ptrace", "signal", "mount", "set_id", "exec_privileged", "user_namespace"] {
		class in found.classes
	}
	"cap_setuid" in guardrail("capabilities").capabilities with input as with_agent({})
}
