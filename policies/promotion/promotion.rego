# Promotion: what stands against letting an agent out of its sandbox, and against leaving it outside.
#
# Every rule is asked each time, so that all reasons are told together. An agent that is promoted already is asked again
# when policy, its spec or its spending changes; "then" says what becomes of it. Limits are in data.json under
# "promotion", and are written out here in full: a limit that is missing there is an error, not a rule that is never true.
package agentguard.promotion

import rego.v1

spec := input.agent.spec

# What the spec says there; null if it says nothing. Blanks are nothing.
value_at(path) := object.get(spec, path, null)

says(path) if {
	value := value_at(path)
	not is_blank(value)
}

is_blank(value) if value in {null, "", []}

is_blank(value) if {
	is_string(value)
	trim_space(value) == ""
}

# ---- Who ----

refuse contains {
	"id": "actor_role",
	"reason": sprintf("%s has none of the roles %s; ask somebody who has", [actor, concat(", ", data.promotion.roles)]),
} if {
	input.promotion.action == "promote"
	not may_promote
}

may_promote if {
	some role in input.promotion.actor.roles
	role in data.promotion.roles
}

default actor := "who asks"

actor := input.promotion.actor.name if not is_blank(input.promotion.actor.name)

# ---- What it is: without these nobody can say what was promoted ----

anatomy := {
	"anatomy.reasoning.model": "name the model that reasons for it",
	"anatomy.reasoning.temperature": "write the temperature that the model is asked with",
	"anatomy.inputs": "list what it takes in",
	"anatomy.actions": "list what it does",
	"anatomy.memory": "write none, session or persistent",
}

refuse contains {
	"id": "anatomy_incomplete",
	"reason": sprintf("%s is missing; %s", [part, request]),
} if {
	some part, request in anatomy
	not says(split(part, "."))
}

refuse contains {
	"id": "capability_missing",
	"reason": "agent.capabilities is empty; name at least one thing that the agent is for",
} if {
	not says(["agent", "capabilities"])
}

refuse contains {
	"id": "owner_missing",
	"reason": "agent.owner is missing; name who answers for the agent",
	"then": without_owner,
} if {
	not says(["agent", "owner"])
}

# The higher the tier, the less an agent may go on while nobody answers for it.
default without_owner := "restrict"

without_owner := "invalidate" if input.promotion.tier >= data.promotion.accountable_from_tier

refuse contains {
	"id": "version_missing",
	"reason": "agent.version is missing; number what is promoted",
	"then": "restrict",
} if {
	not says(["agent", "version"])
}

refuse contains {
	"id": "description_missing",
	"reason": "agent.description is missing; say what the agent does",
	"then": "restrict",
} if {
	not says(["agent", "description"])
}

# ---- How it may act ----

refuse contains {
	"id": "mode_observe",
	"reason": sprintf("mode is %s, in which nothing is blocked; set agent.mode to enforce", [input.agent.mode]),
} if {
	input.agent.mode != "enforce"
}

# What tried itself out without walls has not shown that it stays behind them.
refuse contains {
	"id": "containment",
	"reason": sprintf("containment.%s is not false; the sandbox must have been contained", [wall]),
} if {
	some wall in ["external_calls", "persistent_writes"]
	value_at(["containment", wall]) != false
}

refuse contains {
	"id": "temperature_over_limit",
	"reason": sprintf(
		"temperature %v is over %v, the most for %s agents; lower anatomy.reasoning.temperature",
		[temperature, hottest, input.agent.role],
	),
} if {
	temperature := value_at(["anatomy", "reasoning", "temperature"])
	is_number(temperature)
	temperature > hottest
}

# A role without a limit is allowed nothing.
hottest := object.get(data.promotion.temperature, input.agent.role, 0)

# ---- What it may cost ----

budget := value_at(["economics", "monthly_budget_usd"])

refuse contains {
	"id": "budget_missing",
	"reason": "economics.monthly_budget_usd is missing; write what the agent may spend in a month",
} if {
	not is_number(budget)
}

budget_limits contains {"usd": data.promotion.monthly_budget_usd, "whose": "the most for any agent"}

budget_limits contains {"usd": usd, "whose": sprintf("the most for tier %d", [input.promotion.tier])} if {
	usd := data.promotion.monthly_budget_usd_by_tier[format_int(input.promotion.tier, 10)]
}

budget_limits contains {"usd": input.promotion.budget_limit_usd, "whose": "the limit that was asked for"} if {
	is_number(input.promotion.budget_limit_usd)
}

refuse contains {
	"id": "budget_over_limit",
	"reason": sprintf(
		"a monthly budget of %v USD is over %v USD, %s; lower economics.monthly_budget_usd",
		[budget, limit.usd, limit.whose],
	),
} if {
	is_number(budget)
	some limit in budget_limits
	budget > limit.usd
}

# A budget of nothing is kept by spending nothing.
refuse contains {
	"id": "budget_spent",
	"reason": sprintf(
		"%v USD of the monthly %v USD are spent; raise economics.monthly_budget_usd or wait for the next month",
		[input.promotion.spent_usd, budget],
	),
	"then": data.promotion.over_budget,
} if {
	is_number(budget)
	input.promotion.spent_usd > 0
	input.promotion.spent_usd >= budget
}

# ---- Until when ----

expires := value_at(["agent", "expires"])

refuse contains {
	"id": "expired",
	"reason": sprintf("agent.expires is %s, which is past; set a later time or take it out", [expires]),
} if {
	is_string(expires)
	is_past(expires)
}

# Nanoseconds reach from 1678 to 2262. Times are written alike, so that outside of that their texts can be compared.
is_past(moment) if moment < "1970"

is_past(moment) if {
	moment >= "1970"
	moment < "2262"
	time.parse_rfc3339_ns(moment) <= input.promotion.time_ns
}

# ---- As what, and where ----

refuse contains {
	"id": "tier_lowered",
	"reason": sprintf(
		"the spec is of tier %d, and tier %d was asked for; an agent runs as its own tier or as a higher one",
		[input.agent.tier, input.promotion.tier],
	),
} if {
	input.promotion.tier < input.agent.tier
}

environment := input.promotion.environment

place := data.promotion.environments[environment]

refuse contains {
	"id": "environment_unknown",
	"reason": sprintf("environment %s is none of %s", [environment, concat(", ", sort(object.keys(data.promotion.environments)))]),
} if {
	environment != ""
	not place
}

refuse contains {
	"id": "environment_tier",
	"reason": sprintf("agents of tier %d may not run in %s", [input.promotion.tier, environment]),
} if {
	place
	not input.promotion.tier in place.tiers
}

refuse contains {
	"id": "expiry_missing",
	"reason": sprintf("agents of tier %d run in %s for a limited time; set agent.expires", [input.promotion.tier, environment]),
} if {
	input.promotion.tier in place.expiring_tiers
	not says(["agent", "expires"])
}
