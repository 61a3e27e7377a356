# Answers by the name of a file.
package agentguard.answers

import rego.v1

guardrails contains {
	"id": "asked",
	"paths": ["/tmp/*/files/*"],
	"ops": ["read"],
	"verdict": "hold",
	"severity": "MEDIUM",
	"reason": "its name says what becomes of it",
}

decide contains {
	"id": verdict,
	"answer": verdict,
	"severity": "MEDIUM",
	"reason": "its name says so",
} if {
	input.held.rule == "answers.asked"
	some verdict in ["allow", "deny"]
	contains(input.request.path, sprintf("/%s-", [verdict]))
}
