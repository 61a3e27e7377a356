# Every request that could go on waits for policy, which lets it.
package agentguard.everything

import rego.v1

guardrails contains {
	"id": "paths",
	"paths": ["/", "/**", "@**"],
	"ops": ["read", "write", "create", "delete", "attr", "link", "exec", "connect", "bind"],
	"verdict": "hold",
	"severity": "MEDIUM",
	"reason": "everything is asked",
}

guardrails contains {
	"id": "peers",
	"addresses": ["0.0.0.0/0", "::/0"],
	"ops": ["connect", "listen"],
	"verdict": "hold",
	"severity": "MEDIUM",
	"reason": "everything is asked",
}

decide contains {
	"id": "go_on",
	"answer": "allow",
	"severity": "MEDIUM",
	"reason": "what the spec grants may go on",
} if {
	startswith(input.held.rule, "everything.")
}
