package agentguard.network_test

import rego.v1

import data.agentguard.network

host := {
	"hostname": "h", "kernel": "6.1.0", "backend": "lsm", "runtime_sockets": [], "nameservers": ["192.0.2.53"],
	"interfaces": [
		{"name": "lo", "addresses": ["127.0.0.1", "::1"]},
		{"name": "eth0", "addresses": ["192.0.2.10", "2001:db8::10"]},
	],
}

coder := {
	"name": "coder", "role": "ideation", "tier": 2, "mode": "enforce", "spec": {}, "uid": 1000,
	"home": "/home/ada", "variables": {},
}

as_agent(changes) := {"agent": object.union(coder, changes), "host": host}

# 2026-01-01 12:00 UTC
noon := 1767268800000000000

hour := 3600000000000

connect(request) := {
	"agent": coder, "host": host,
	"request": object.union(
		{
			"operation": "connect_address", "object": "x", "address": "203.0.113.7", "port": 443, "protocol": "tcp",
			"sent_bytes": 0, "received_bytes": 0, "connections": 1, "time_ns": noon,
		},
		request,
	),
}

guardrail(id) := found if {
	some found in network.guardrails
	found.id == id
}

findings := {found.id | some found in network.deny}

severities := {found.id: found.severity | some found in network.deny}

test_metadata_is_denied_for_both_families_on_every_port if {
	found := guardrail("cloud_metadata") with input as as_agent({"tier": 1})
	"169.254.169.254/32" in found.addresses
	"fd00:ec2::254/128" in found.addresses
	not found.ports
	not guardrail("cloud_metadata_beside_dns") with input as as_agent({})
}

test_metadata_that_is_also_the_resolver_keeps_only_dns if {
	here := {"agent": coder, "host": object.union(host, {"nameservers": ["169.254.169.254"]})}
	not "169.254.169.254/32" in guardrail("cloud_metadata").addresses with input as here
	found := guardrail("cloud_metadata_beside_dns") with input as here
	found.addresses == ["169.254.169.254/32"]
	found.ports == ["0-52", "54-65535"]
}

test_container_credentials_are_denied if {
	"169.254.170.2/32" in guardrail("credential_endpoints").addresses with input as as_agent({})
	guardrail("azure_host").severity == "CRITICAL" with input as as_agent({})
}

test_a_login_on_this_host_is_denied_at_each_of_its_addresses if {
	found := guardrail("shell_on_this_host") with input as as_agent({"tier": 1})
	every address in ["127.0.0.0/8", "::1/128", "192.0.2.10/32", "2001:db8::10/128"] {
		address in found.addresses
	}
	not "127.0.0.1/32" in found.addresses
}

test_suspicious_ports_are_denied_but_not_on_loopback if {
	found := guardrail("suspicious_ports") with input as as_agent({})
	4444 in found.ports
	"0.0.0.0/0" in found.addresses
	guardrail("ports_on_loopback").verdict == "allow" with input as as_agent({})
	25 in guardrail("cleartext_on_loopback").ports with input as as_agent({})
}

test_control_ports_are_denied_everywhere if {
	found := guardrail("control_planes") with input as as_agent({"tier": 1})
	"2375-2380" in found.ports
	"127.0.0.0/8" in found.addresses
}

test_remote_shells_take_a_spec_that_names_the_port if {
	guardrail("remote_shell").severity == "HIGH" with input as as_agent({})
	granted := {"network": {"connect": [{"to": "git.example.com", "ports": [[22, 22]]}]}}
	wide := {"network": {"connect": [{"to": "git.example.com", "ports": [[1, 65535]]}]}}
	guardrail("remote_shell") with input as as_agent({"spec": wide})
	not guardrail("remote_shell") with input as as_agent({"spec": granted})
	guardrail("remote_shell") with input as as_agent({"spec": granted, "tier": 4})
}

test_hidden_dns_is_denied if {
	guardrail("dns_over_tls").ports == [853] with input as as_agent({})
	"1.1.1.1/32" in guardrail("dns_over_https").addresses with input as as_agent({})
}

test_sockets_that_rules_cannot_follow_are_denied if {
	"socket_raw" in guardrail("raw_sockets").classes with input as as_agent({})
	guardrail("other_sockets").class == "socket_other" with input as as_agent({})
}

test_sockets_that_lead_out_are_denied if {
	"/run/dbus/system_bus_socket" in guardrail("service_buses").paths with input as as_agent({})
	"/tmp/ssh-*/agent.*" in guardrail("key_agents").paths with input as as_agent({})
	"@/tmp/.X11-unix/*" in guardrail("desktops").paths with input as as_agent({})
	"/tmp/tmux-*/**" in guardrail("terminal_servers").paths with input as as_agent({})
}

test_a_trusted_name_is_no_finding if {
	every name in ["api.anthropic.com", "API.OpenAI.com", "bedrock-runtime.eu-west-1.amazonaws.com", "objects.githubusercontent.com", "db.svc"] {
		findings == set() with input as connect({"name": name})
	}
}

test_a_name_that_only_looks_trusted_is_a_finding if {
	every name in ["api.anthropic.com.example.net", "evilgithub.com", "bedrock-runtime.a.b.amazonaws.com"] {
		findings == {"https_not_listed"} with input as connect({"name": name})
	}
}

test_an_unknown_address_is_critical if {
	severities.untrusted_address == "CRITICAL" with input as connect({"port": 8443})
	findings == {"untrusted_address"} with input as connect({"port": 8443})
}

test_internal_and_granted_addresses_are_expected if {
	every address in ["127.0.0.1", "10.1.2.3", "::1", "fd00::1"] {
		findings == set() with input as connect({"address": address})
	}
	granted := [{"to": "203.0.113.0/24"}, {"to": "2001:db8::7"}, {"to": "198.51.100.9"}, {"to": "api.example.com"}]
	every address in ["203.0.113.7", "2001:db8::7", "198.51.100.9"] {
		asked := object.union(connect({"address": address}), {"agent": {"spec": {"network": {"connect": granted}}}})
		findings == set() with input as asked
	}
}

test_a_suspicious_port_is_critical if {
	severities.suspicious_port == "CRITICAL" with input as connect({"name": "github.com", "port": 4444})
	findings == {"suspicious_port"} with input as connect({"name": "github.com", "port": 6665})
	findings == set() with input as connect({"address": "127.0.0.1", "port": 4444})
}

test_a_protocol_that_a_port_does_not_speak_is_critical if {
	findings == {"protocol_violation"} with input as connect({"name": "github.com", "port": 80, "protocol": "udp"})
	findings == {"protocol_violation"} with input as connect({"name": "github.com", "port": 123, "protocol": "tcp"})
}

test_an_unusual_protocol_is_high if {
	severities.unusual_protocol == "HIGH" with input as connect({"name": "github.com", "protocol": "132"})
}

test_another_resolver_is_found if {
	findings == {"other_resolver"} with input as connect({"address": "10.9.9.9", "port": 53, "protocol": "udp"})
	expected := connect({"address": "192.0.2.53", "port": 53, "protocol": "udp", "name": "ns.internal"})
	findings == set() with input as expected
}

test_a_large_transfer_is_high if {
	sent := connect({"operation": "", "name": "example.com", "sent_bytes": 60000000})
	severities == {"large_transfer": "HIGH"} with input as sent
	findings == set() with input as connect({"operation": "", "name": "db.internal", "sent_bytes": 60000000})
	findings == set() with input as connect({"operation": "", "sent_bytes": 1000})
}

test_many_connections_are_high if {
	severities == {"many_connections": "HIGH"} with input as connect({"name": "github.com", "connections": 500})
}

test_night_is_found_for_what_is_not_expected if {
	every time in [noon + (11 * hour), noon - (10 * hour)] {
		findings == {"night", "https_not_listed"} with input as connect({"name": "example.com", "time_ns": time})
	}
	findings == set() with input as connect({"name": "github.com", "time_ns": noon + (11 * hour)})
}
