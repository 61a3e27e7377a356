# Network: where no agent may connect, whatever its spec grants, and which sockets lead out of governance.
#
# Guardrails speak about addresses; names are the grants' business, because a name is followed to the addresses that
# the agent's own DNS answers gave. Findings also know the name. Lists are in data.json under "network".
package agentguard.network

import rego.v1

network := data.network

both := ["connect", "listen"]

anywhere := ["0.0.0.0/0", "::/0"]

loopback := ["127.0.0.0/8", "::1/128"]

# ---- CRITICAL ----

# On some clouds the metadata address is also the host's resolver: then port 53 is left to the spec.
guardrails contains {
	"id": "cloud_metadata",
	"ops": ["connect"],
	"addresses": [address | some address in network.metadata; not is_resolver(address)],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "the cloud's metadata service hands out this host's credentials",
}

guardrails contains {
	"id": "cloud_metadata_beside_dns",
	"ops": ["connect"],
	"addresses": resolving,
	"ports": ["0-52", "54-65535"],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "the cloud's metadata service hands out this host's credentials",
} if {
	resolving := [address | some address in network.metadata; is_resolver(address)]
	count(resolving) > 0
}

is_resolver(address) if {
	some nameserver in input.host.nameservers
	net.cidr_contains(address, nameserver)
}

guardrails contains {
	"id": "credential_endpoints",
	"ops": ["connect"],
	"addresses": network.credential_endpoints,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "hands out the credentials of the container or pod",
}

guardrails contains {
	"id": "azure_host",
	"ops": ["connect"],
	"address": network.azure_host,
	"ports": [80, 443, 32526],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "the host agent of Azure hands out configuration and secrets",
}

guardrails contains {
	"id": "control_planes",
	"ops": both,
	"addresses": array.concat(anywhere, loopback),
	"ports": network.control_ports,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "container runtime, kubelet and etcd ports: whoever may talk to them is root",
}

# A shell on this host by the network would not be governed.
guardrails contains {
	"id": "shell_on_this_host",
	"ops": ["connect"],
	"addresses": array.concat(loopback, own_addresses),
	"ports": network.shell_ports,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "a login on this host starts a session outside of governance",
}

own_addresses := sort([sprintf("%s/%d", [address, bits(address)]) |
	some interface in input.host.interfaces
	some address in interface.addresses
	not net.cidr_contains("127.0.0.0/8", address)
	address != "::1"
])

bits(address) := 128 if contains(address, ":")

bits(address) := 32 if not contains(address, ":")

guardrails contains {
	"id": "suspicious_ports",
	"ops": both,
	"addresses": anywhere,
	"ports": network.suspicious_ports,
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "ports of cleartext logins, file shares, chat control channels, remote desktops and backdoors",
}

# Test servers on the machine itself like the same numbers; outside of it they stay denied.
guardrails contains {
	"id": "ports_on_loopback",
	"ops": both,
	"addresses": loopback,
	"verdict": "allow",
	"severity": "MEDIUM",
	"reason": "stays on this host",
}

guardrails contains {
	"id": "cleartext_on_loopback",
	"ops": ["connect"],
	"addresses": loopback,
	"ports": network.loopback_suspicious_ports,
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "telnet and mail servers of this host",
}

# ---- HIGH ----

guardrails contains {
	"id": "remote_shell",
	"ops": ["connect"],
	"addresses": anywhere,
	"ports": network.shell_ports,
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "remote shells, unless an agent of tier 1 to 3 has the port in its spec by number",
} if {
	not shell_granted
}

shell_granted if {
	input.agent.tier <= 3
	some grant in input.agent.spec.network.connect
	some [low, high] in grant.ports
	low == high
	low in network.shell_ports
}

guardrails contains {
	"id": "dns_over_tls",
	"ops": ["connect"],
	"addresses": anywhere,
	"ports": [network.tls_dns_port],
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "names looked up where agentd cannot see the answers",
}

guardrails contains {
	"id": "dns_over_https",
	"ops": ["connect"],
	"addresses": network.public_resolvers,
	"ports": [443],
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "names looked up where agentd cannot see the answers",
}

guardrails contains {
	"id": "raw_sockets",
	"classes": ["socket_raw", "socket_packet"],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "packets written by hand go around every address rule",
}

guardrails contains {
	"id": "other_sockets",
	"class": "socket_other",
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "sockets that address rules cannot follow: vsock, AF_ALG, MPTCP, SCTP and others",
}

# ---- Unix sockets: each of these starts or controls something that is not governed ----

guardrails contains {
	"id": "service_buses",
	"ops": ["connect", "write", "delete"],
	"paths": [
		"/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket", "/run/systemd/private", "/run/user/*/bus",
		"/run/user/*/systemd/**", "/run/user/*/dbus-1/**", "/run/user/*/at-spi/**", "/tmp/dbus-*", "@/tmp/dbus-*", "@dbus-*",
		"@/org/freedesktop/**", "/run/ssh-unix-local/**", "/run/sshd/**", "/run/cockpit/**", "/run/systemd/io.systemd.*",
		"/run/systemd/machine/**", "/run/systemd/userdb/io.systemd.Machine",
	],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "starts services and sessions outside of governance",
}

guardrails contains {
	"id": "key_agents",
	"ops": ["connect", "write", "delete"],
	"paths": [
		"/tmp/ssh-*/agent.*", "/run/user/*/keyring/**", "/run/user/*/gnupg/**", "/run/user/*/ssh-agent*", "/run/user/*/gcr/**",
		"/run/user/*/openssh_agent", "/run/user/*/1password/**", "/run/user/*/p11-kit/**", "/tmp/.vault-*",
	],
	"verdict": "deny",
	"severity": "CRITICAL",
	"reason": "signs and decrypts with a person's keys",
}

guardrails contains {
	"id": "desktops",
	"ops": ["connect", "write", "delete"],
	"paths": [
		"/tmp/.X11-unix/*", "@/tmp/.X11-unix/*", "/run/user/*/wayland-*", "/run/user/*/pipewire-*", "/run/user/*/pulse/**",
		"/tmp/.ICE-unix/*", "@/tmp/.ICE-unix/*", "/run/user/*/ICEauthority",
	],
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "types, clicks and looks into a person's session",
}

guardrails contains {
	"id": "terminal_servers",
	"ops": ["connect", "write", "delete"],
	"paths": ["/tmp/tmux-*/**", "/run/screen/**", "/run/user/*/tmux*/**", "/tmp/zellij-*/**", "/run/user/*/zellij/**", "/tmp/vscode-*", "/run/user/*/vscode-*"],
	"verdict": "deny",
	"severity": "HIGH",
	"reason": "types into terminals that are not governed",
}

# ---- Findings ----

connects if input.request.operation == "connect_address"

# "*.example.com" is below example.com; "a.*.b" takes one part for the star.
named(domains) if {
	some domain in domains
	glob.match(domain, ["."], lower(input.request.name))
}

named(domains) if {
	some domain in domains
	startswith(domain, "*.")
	endswith(lower(input.request.name), substring(domain, 1, -1))
}

trusted_name if named(network.llm_domains)

trusted_name if named(network.trusted_domains)

trusted_name if named(network.internal_domains)

internal if {
	some range in network.internal_networks
	net.cidr_contains(range, input.request.address)
}

is_address(text) if regex.match(`^[0-9.]+(/[0-9]+)?$|^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/[0-9]+)?$`, text)

granted_address if {
	some grant in input.agent.spec.network.connect
	is_address(grant.to)
	net.cidr_contains(as_network(grant.to), input.request.address)
}

as_network(text) := text if contains(text, "/")

as_network(text) := sprintf("%s/%d", [text, bits(text)]) if not contains(text, "/")

expected if internal

expected if granted_address

expected if trusted_name

deny contains {
	"id": "untrusted_address",
	"severity": "CRITICAL",
	"reason": sprintf("%s is public, has no name that the agent looked up, and is in no grant", [input.request.address]),
} if {
	connects
	not input.request.name
	not expected
}

deny contains {
	"id": "suspicious_port",
	"severity": "CRITICAL",
	"reason": sprintf("port %d is used by cleartext logins, remote control and backdoors", [input.request.port]),
} if {
	connects
	not internal
	some written in network.suspicious_ports
	in_ports(input.request.port, written)
}

in_ports(port, written) if port == written

in_ports(port, written) if {
	is_string(written)
	ends := split(written, "-")
	port >= to_number(ends[0])
	port <= to_number(ends[1])
}

deny contains {
	"id": "protocol_violation",
	"severity": "CRITICAL",
	"reason": sprintf("%s is not what port %d speaks", [input.request.protocol, input.request.port]),
} if {
	connects
	violates(input.request.protocol, input.request.port)
}

violates("udp", port) if port in network.tcp_only_ports

violates("tcp", port) if port in network.udp_only_ports

deny contains {
	"id": "unusual_protocol",
	"severity": "HIGH",
	"reason": sprintf("protocol %s is neither TCP nor UDP", [input.request.protocol]),
} if {
	connects
	not input.request.protocol in {"tcp", "udp"}
}

deny contains {
	"id": "other_resolver",
	"severity": "HIGH",
	"reason": sprintf("%s is not a resolver of this host", [input.request.address]),
} if {
	connects
	input.request.port == 53
	not input.request.address in input.host.nameservers
}

deny contains {
	"id": "large_transfer",
	"severity": "HIGH",
	"reason": sprintf("%d bytes sent to %s", [input.request.sent_bytes, input.request.object]),
} if {
	input.request.sent_bytes >= network.large_transfer_bytes
	not named(network.internal_domains)
}

deny contains {
	"id": "many_connections",
	"severity": "HIGH",
	"reason": sprintf("%d connections within a minute", [input.request.connections]),
} if {
	input.request.connections > network.many_connections
}

deny contains {
	"id": "https_not_listed",
	"severity": "MEDIUM",
	"reason": sprintf("%s is on no list of trusted names", [input.request.name]),
} if {
	connects
	input.request.port == 443
	not expected
}

deny contains {
	"id": "night",
	"severity": "MEDIUM",
	"reason": sprintf("outward connection at %02d h UTC", [hour]),
} if {
	connects
	not expected
	input.request.time_ns > 0
	hour := time.clock([input.request.time_ns, "UTC"])[0]
	night(hour)
}

night(hour) if hour >= network.night_from_hour

night(hour) if hour < network.night_to_hour
