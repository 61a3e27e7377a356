package agentguard.filesystem_test

import rego.v1

import data.agentguard.filesystem

host := {
	"hostname": "h", "kernel": "6.1.0", "backend": "lsm", "runtime_sockets": ["/srv/engine.sock"],
	"nameservers": [], "interfaces": [],
}

coder := {
	"name": "coder", "role": "ideation", "tier": 2, "mode": "enforce", "spec": {}, "uid": 1000,
	"home": "/home/ada", "variables": {"workspace": "/srv/work"},
}

as_agent(changes) := {"agent": object.union(coder, changes), "host": host}

asks(request) := {
	"agent": coder, "host": host,
	"request": object.union({"read_bytes": 0, "written_bytes": 0, "operation": "read"}, request),
}

guardrail(id) := found if {
	some found in filesystem.guardrails
	found.id == id
}

# Ids of the guardrails that deny an operation on exactly this pattern.
denying(op, pattern) := {found.id |
	some found in filesystem.guardrails
	found.verdict == "deny"
	op in found.ops
	pattern in object.get(found, "paths", [object.get(found, "path", "")])
}

findings := {found.id | some found in filesystem.deny}

test_shadow_is_denied_in_every_way if {
	every op in ["read", "write", "create", "delete", "attr", "link"] {
		denying(op, "/etc/shadow") == {"shadow"} with input as as_agent({})
	}
	guardrail("shadow").severity == "CRITICAL" with input as as_agent({})
}

test_passwd_may_be_read_but_not_changed if {
	denying("read", "/etc/passwd") == set() with input as as_agent({})
	denying("write", "/etc/passwd") == {"identity_files"} with input as as_agent({})
	denying("create", "/etc/passwd") == {"identity_files"} with input as as_agent({})
}

test_ordinary_files_are_nobodys_business if {
	denying("read", "/usr/**") == set() with input as as_agent({})
	denying("write", "/srv/work/**") == set() with input as as_agent({})
	denying("read", "/etc/**") == set() with input as as_agent({})
}

test_keys_are_denied_in_every_home if {
	every pattern in ["/home/*/.ssh", "/home/*/.ssh/**", "/root/.ssh/**"] {
		denying("read", pattern) == {"ssh_keys"} with input as as_agent({})
	}
}

test_a_home_elsewhere_is_covered_and_its_odd_letters_are_literal if {
	denying("read", "/var/lib/ada/.ssh/**") == {"ssh_keys"} with input as as_agent({"home": "/var/lib/ada"})
	denying("read", `/opt/a\[b\]/.netrc`) == {"credentials"} with input as as_agent({"home": "/opt/a[b]"})
}

test_a_home_that_is_none_adds_nothing if {
	every home in ["", "/", "relative", "/home/ada", "/srv/x/"] {
		count(filesystem.homes) == 2 with input as as_agent({"home": home})
	}
}

test_container_runtimes_are_denied_and_so_are_those_that_the_host_has if {
	denying("connect", "/run/docker.sock") == {"runtime_sockets"} with input as as_agent({})
	denying("connect", "/srv/engine.sock") == {"runtime_sockets"} with input as as_agent({})
}

test_kernel_paths_are_denied if {
	denying("write", "/proc/sys/kernel/core_pattern") == {"kernel_helpers"} with input as as_agent({})
	denying("write", "/proc/sysrq-trigger") == {"kernel_helpers"} with input as as_agent({})
	denying("write", "/proc/sys/**") == {"kernel_settings"} with input as as_agent({})
	denying("read", "/proc/sys/**") == set() with input as as_agent({})
	denying("write", "/proc/*/mem") == {"process_memory"} with input as as_agent({})
	denying("write", "/sys/fs/cgroup/**") == {"cgroups"} with input as as_agent({})
	denying("read", "/sys/fs/bpf/**") == {"kernel_debugging"} with input as as_agent({})
	denying("read", "/dev/mem") == {"physical_memory"} with input as as_agent({})
	denying("read", "/dev/sd[a-z]*") == {"block_devices"} with input as as_agent({})
	denying("read", "/dev/net/tun") == {"host_devices"} with input as as_agent({})
}

test_agentd_is_out_of_reach if {
	every pattern in ["/etc/agentguard/**", "/var/lib/agentguard/**", "/run/agentguard/**", "/usr/bin/agentd"] {
		"agentd_files" in denying("write", pattern) with input as as_agent({"tier": 1})
	}
	denying("connect", "/run/agentguard/**") == {"agentd_state"} with input as as_agent({"tier": 1})
}

test_persistence_is_denied_but_for_the_most_trusted_tier if {
	denying("create", "/etc/systemd/**") == {"system_persistence"} with input as as_agent({})
	denying("create", "/var/spool/cron/**") == {"system_persistence"} with input as as_agent({})
	denying("write", "/etc/ld.so.preload") == {"system_persistence"} with input as as_agent({})
	denying("write", "/home/*/.bashrc") == {"login_persistence"} with input as as_agent({})
	guardrail("system_persistence").verdict == "audit" with input as as_agent({"tier": 1, "role": "compliance"})
	guardrail("system_persistence").verdict == "deny" with input as as_agent({"tier": 1, "role": "ideation"})
	restricted := as_agent({"tier": 1, "role": "compliance", "state": "GOVERNED_RESTRICTED"})
	guardrail("system_persistence").verdict == "deny" with input as restricted
}

test_secrets_of_people_are_denied if {
	denying("read", "/home/*/.aws/**") == {"credentials"} with input as as_agent({})
	denying("read", "/home/*/.netrc") == {"credentials"} with input as as_agent({})
	denying("read", "/root/.gnupg/**") == {"credentials"} with input as as_agent({})
	denying("read", "/home/*/.mozilla/**") == {"browser_profiles"} with input as as_agent({})
	denying("read", "/home/*/.bash_history") == {"shell_history"} with input as as_agent({})
}

test_kubeconfig_takes_role_tier_and_a_spec_that_names_it if {
	granted := {"files": {"read": ["${home}/.kube/config"]}}
	denying("read", "/home/*/.kube/**") == {"kubeconfig"} with input as as_agent({"spec": granted})
	allowed := as_agent({"spec": granted, "role": "analysis"})
	denying("read", "/home/*/.kube/**") == set() with input as allowed
	denying("read", "/home/*/.kube/**") == {"kubeconfig"} with input as as_agent({"role": "analysis"})
	high := as_agent({"spec": granted, "role": "analysis", "tier": 3})
	denying("read", "/home/*/.kube/**") == {"kubeconfig"} with input as high
}

test_the_pod_account_is_recorded if guardrail("service_account").verdict == "audit" with input as as_agent({})

test_ids_are_unique_and_every_guardrail_has_a_reason if {
	ids := [found.id | some found in filesystem.guardrails] with input as as_agent({})
	count(ids) == count({id | some id in ids})
	every found in filesystem.guardrails {
		count(found.reason) > 0
	} with input as as_agent({})
}

test_a_large_database_read_is_found if {
	large := {"path": "/srv/work/customers.SQLITE", "read_bytes": 200000000}
	findings == {"large_database_read"} with input as asks(large)
	findings == {"large_database_read"} with input as asks({"path": "/var/lib/mysql/t/x", "read_bytes": 200000000})
	findings == set() with input as asks({"path": "/srv/work/customers.sqlite", "read_bytes": 2000})
	findings == set() with input as asks({"path": "/srv/work/film.mkv", "read_bytes": 200000000})
}

test_sensitive_directories_are_found if {
	findings == {"sensitive_directory"} with input as asks({"path": "/var/log/syslog"})
	findings == {"sensitive_directory"} with input as asks({"path": "/root"})
	findings == set() with input as asks({"path": "/etc/ssl/certs/ca.pem"})
	findings == set() with input as asks({"path": "/etc/ssl/openssl.cnf"})
	findings == set() with input as asks({"path": "/home/ada/notes"})
}

test_configuration_writes_are_found if {
	findings == {"configuration_write"} with input as asks({"operation": "write", "path": "/etc/motd"})
	findings == {"configuration_write"} with input as asks({"operation": "create", "path": "/etc/x.d/y"})
	findings == set() with input as asks({"operation": "read", "path": "/etc/motd"})
	findings == set() with input as asks({"operation": "write", "path": "/etcetera"})
}

test_temporary_exports_are_found if {
	findings == {"temporary_export"} with input as asks({"operation": "create", "path": "/tmp/all.tar.gz"})
	findings == {"temporary_export"} with input as asks({"operation": "", "path": "/dev/shm/x", "written_bytes": 20000000})
	findings == set() with input as asks({"operation": "create", "path": "/tmp/cc1234.o"})
	findings == set() with input as asks({"operation": "create", "path": "/srv/work/all.tar.gz"})
}

test_unusual_names_are_found if {
	findings == {"unusual_path"} with input as asks({"operation": "create", "path": "/tmp/.x"})
	findings == {"unusual_path"} with input as asks({"operation": "exec", "path": "/srv/work/.. /run"})
	findings == {"unusual_path"} with input as asks({"operation": "create", "path": "/srv/work/a\nb"})
	findings == set() with input as asks({"operation": "create", "path": "/srv/work/.gitignore"})
}

test_a_request_without_a_path_is_no_finding if {
	findings == set() with input as asks({"operation": "socket_tcp"})
}

test_the_extension_is_the_last_one_of_the_name if {
	filesystem.extension("/a.d/b.TAR.Gz") == ".gz"
	filesystem.extension("/a.d/b") == ""
}
