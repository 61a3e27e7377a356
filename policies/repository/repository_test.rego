package agentguard.repository_test

import rego.v1

import data.agentguard.repository

host := {
	"hostname": "h", "kernel": "6.1.0", "backend": "lsm", "runtime_sockets": ["/srv/engine.sock"],
	"nameservers": [], "interfaces": [],
}

coder := {
	"name": "coder", "role": "ideation", "tier": 2, "mode": "enforce", "spec": {}, "uid": 1000,
	"home": "/home/ada", "variables": {"workspace": "/srv/work"},
}

as_agent(changes) := {"agent": object.union(coder, changes), "host": host}

guardrail(id) := found if {
	some found in repository.guardrails
	found.id == id
}

# Ids of the guardrails that deny an operation on exactly this pattern.
denying(op, pattern) := {found.id |
	some found in repository.guardrails
	found.verdict == "deny"
	op in found.ops
	pattern in object.get(found, "paths", [object.get(found, "path", "")])
}

works_in(workspace, more) := as_agent({
	"variables": {"workspace": workspace},
	"spec": {"files": object.union(
		{"default": "deny", "write": [workspace, sprintf("%s/**", [workspace]), "/tmp/**", "/home/ada/.cache/**", "/dev/pts/*"]},
		more,
	)},
})

test_a_repository_is_not_deleted_and_git_can_still_work if {
	here := works_in("/srv/work", {})
	denying("delete", "/srv/work/**/.git") == {"git_repository"} with input as here
	denying("write", "/srv/work/**/*.git/objects/pack/pack-*.{pack,idx}") == {"git_objects"} with input as here
	denying("create", "/srv/work/**/*.git/hooks/*") == {"git_hooks"} with input as here
	guardrail("git_locks").verdict == "allow" with input as here
}

test_work_is_where_the_spec_grants_changes_but_not_scratch if {
	repository.work_roots == {"/srv/work"} with input as works_in("/srv/work", {})
	repository.work_roots == {"/tmp/demo"} with input as works_in("/tmp/demo", {})
	repository.work_roots == {"/srv/work", "/srv/more/a"} with input as works_in("/srv/work", {"delete": ["/srv/more/a/b*/c"]})
	repository.work_roots == set() with input as as_agent({"spec": {"files": {"default": "deny", "write": ["/tmp/**"]}}})
}

test_work_is_everywhere_when_the_spec_does_not_say_where if {
	repository.work_roots == {""} with input as as_agent({})
	repository.work_roots == {""} with input as as_agent({"spec": {"files": {"default": "allow", "write": ["/srv/**"]}}})
	unresolved := works_in("/srv/work", {"delete": ["${home}/x/**"]})
	"" in repository.work_roots with input as unresolved
	pointed := works_in("/srv/work", {"delete": ["/opt/r/.git/HEAD"]})
	"" in repository.work_roots with input as pointed
}

test_an_agent_that_changes_nothing_has_no_rules_about_repositories if {
	not guardrail("git_repository") with input as as_agent({"spec": {"files": {"default": "deny"}}})
}

test_environment_files_are_recorded if {
	guardrail("environment_files").verdict == "audit" with input as as_agent({})
}
