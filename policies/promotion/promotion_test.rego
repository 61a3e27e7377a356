package agentguard.promotion_test

import rego.v1

import data.agentguard.promotion

# 2026-01-01 12:00 UTC
noon := 1767268800000000000

host := {"hostname": "h", "kernel": "6.1.0", "backend": "lsm", "runtime_sockets": [], "nameservers": [], "interfaces": []}

whole := {
	"agent": {
		"name": "coder", "description": "Writes code.", "role": "analysis", "tier": 2, "mode": "enforce",
		"version": "1.2.0", "owner": "ada@example.com", "expires": "2026-06-30T00:00:00Z", "capabilities": ["code.write"],
	},
	"anatomy": {
		"reasoning": {"model": "some-model", "temperature": 0.7}, "inputs": ["tickets"], "actions": ["patches"], "memory": "none",
	},
	"economics": {"monthly_budget_usd": 150},
	"containment": {"external_calls": false, "persistent_writes": false, "loopback": true},
}

asked := {
	"action": "promote", "actor": {"name": "ada", "roles": ["agent_admin"]}, "environment": "prod", "tier": 2,
	"budget_limit_usd": null, "spent_usd": 0, "time_ns": noon,
}

# An agent with a whole spec, changed in places.
with_spec(changes) := promoting(changes, {}, {})

with_agent(changes) := promoting({}, changes, {})

with_request(changes) := promoting({}, {}, changes)

promoting(spec, agent, promotion) := {
	"agent": object.union(
		{
			"name": "coder", "role": "analysis", "tier": 2, "mode": "enforce", "state": "SANDBOX", "uid": 1000,
			"home": "/home/ada", "variables": {}, "spec": object.union(whole, spec),
		},
		agent,
	),
	"host": host,
	"promotion": object.union(asked, promotion),
}

revalidating(spec) := promoting(spec, {"state": "GOVERNED_VALID"}, {"action": "revalidate", "actor": {"name": "", "roles": []}})

ids := {found.id | some found in promotion.refuse}

reasons := {found.reason | some found in promotion.refuse}

consequences := {found.id: object.get(found, "then", "invalidate") | some found in promotion.refuse}

test_nothing_stands_against_a_whole_agent if {
	ids == set() with input as with_spec({})
	ids == set() with input as revalidating({})
	ids == set() with input as with_request({"action": "check", "actor": {"name": "", "roles": []}})
}

test_only_administrators_promote if {
	ids == set() with input as with_request({"actor": {"name": "bob", "roles": ["policy_admin"]}})
	reasons == {"bob has none of the roles agent_admin, policy_admin; ask somebody who has"} with input as with_request({"actor": {"name": "bob", "roles": []}})
	reasons == {"who asks has none of the roles agent_admin, policy_admin; ask somebody who has"} with input as with_request({"actor": {"name": "", "roles": ["operator"]}})
	ids == set() with input as with_request({"action": "revalidate", "actor": {"name": "", "roles": []}})
}

# Says nothing at all, and nobody in charge asks.
bare := {
	"agent": {"name": "x", "role": "analysis", "tier": 1, "mode": "observe", "state": "SANDBOX", "spec": {}},
	"promotion": object.union(asked, {"actor": {"name": "bob", "roles": []}}),
}

test_all_reasons_are_told_together if {
	ids == {
		"anatomy_incomplete", "capability_missing", "owner_missing", "version_missing", "description_missing", "containment",
		"budget_missing", "actor_role", "mode_observe",
	} with input as bare
	count(reasons) == 14 with input as bare
}

test_each_part_of_the_anatomy_is_asked_for_by_name if {
	reasons == {"anatomy.inputs is missing; list what it takes in"} with input as with_spec({"anatomy": {"inputs": []}})
	reasons == {"anatomy.actions is missing; list what it does"} with input as with_spec({"anatomy": {"actions": []}})
	reasons == {"anatomy.memory is missing; write none, session or persistent"} with input as with_spec({"anatomy": {"memory": null}})
	reasons == {"anatomy.reasoning.model is missing; name the model that reasons for it"} with input as with_spec({"anatomy": {"reasoning": {"model": " "}}})
	reasons == {
		"anatomy.reasoning.model is missing; name the model that reasons for it",
		"anatomy.reasoning.temperature is missing; write the temperature that the model is asked with",
	} with input as with_spec({"anatomy": {"reasoning": null}})
}

test_a_temperature_of_zero_is_a_temperature if {
	ids == set() with input as with_spec({"anatomy": {"reasoning": {"temperature": 0}}})
}

test_what_an_agent_is_for_must_be_said if {
	consequences == {"capability_missing": "invalidate"} with input as revalidating({"agent": {"capabilities": []}})
}

test_a_missing_name_on_the_card_restricts if {
	consequences == {"owner_missing": "restrict"} with input as revalidating({"agent": {"owner": null}})
	consequences == {"version_missing": "restrict"} with input as revalidating({"agent": {"version": null}})
	consequences == {"description_missing": "restrict"} with input as revalidating({"agent": {"description": ""}})
}

test_agents_of_high_tiers_do_not_go_on_without_an_owner if {
	every tier in [3, 4] {
		consequences == {"owner_missing": "invalidate"} with input as promoting({"agent": {"owner": null}}, {"tier": tier}, {"tier": tier})
	}
}

test_observing_is_not_governed if {
	consequences == {"mode_observe": "invalidate"} with input as with_agent({"mode": "observe"})
}

test_a_sandbox_was_contained if {
	reasons == {"containment.external_calls is not false; the sandbox must have been contained"} with input as with_spec({"containment": {"external_calls": true}})
	consequences == {"containment": "invalidate"} with input as revalidating({"containment": {"persistent_writes": true}})
	ids == set() with input as with_spec({"containment": {"loopback": false}})
}

test_each_role_has_its_temperature if {
	every limit in [["compliance", 0.3, 0.31], ["analysis", 0.7, 0.71], ["ideation", 1.0, 1.01]] {
		ids == set() with input as promoting({"anatomy": {"reasoning": {"temperature": limit[1]}}}, {"role": limit[0]}, {})
		consequences == {"temperature_over_limit": "invalidate"} with input as promoting({"anatomy": {"reasoning": {"temperature": limit[2]}}}, {"role": limit[0]}, {})
	}
	reasons == {"temperature 0.9 is over 0.3, the most for compliance agents; lower anatomy.reasoning.temperature"} with input as promoting({"anatomy": {"reasoning": {"temperature": 0.9}}}, {"role": "compliance"}, {})
}

test_a_role_without_a_limit_is_allowed_nothing if {
	ids == {"temperature_over_limit"} with input as with_agent({"role": "other"})
}

test_a_budget_must_be_stated if {
	consequences == {"budget_missing": "invalidate"} with input as revalidating({"economics": {"monthly_budget_usd": null}})
}

test_a_budget_is_within_every_limit if {
	reasons == {"a monthly budget of 800 USD is over 500 USD, the most for tier 2; lower economics.monthly_budget_usd"} with input as with_spec({"economics": {"monthly_budget_usd": 800}})
	count(reasons) == 2 with input as with_spec({"economics": {"monthly_budget_usd": 1500}})
	ids == {"budget_over_limit"} with input as with_spec({"economics": {"monthly_budget_usd": 1500}})
	ids == set() with input as promoting({"economics": {"monthly_budget_usd": 800}}, {"tier": 3}, {"tier": 3})
}

test_a_limit_that_was_asked_for_counts_too if {
	ids == set() with input as with_request({"budget_limit_usd": 150})
	reasons == {"a monthly budget of 150 USD is over 99.5 USD, the limit that was asked for; lower economics.monthly_budget_usd"} with input as with_request({"budget_limit_usd": 99.5})
}

test_a_budget_that_is_spent_has_the_consequence_of_the_lists if {
	spent := promoting({}, {"state": "GOVERNED_VALID"}, {"action": "revalidate", "spent_usd": 150.25})
	reasons == {"150.25 USD of the monthly 150 USD are spent; raise economics.monthly_budget_usd or wait for the next month"} with input as spent
	consequences == {"budget_spent": "restrict"} with input as spent
	consequences == {"budget_spent": "invalidate"} with input as spent with data.promotion.over_budget as "invalidate"
	ids == set() with input as with_request({"spent_usd": 149.99})
}

test_who_may_spend_nothing_has_not_overspent_by_spending_nothing if {
	ids == set() with input as with_spec({"economics": {"monthly_budget_usd": 0}})
	ids == {"budget_spent"} with input as promoting({"economics": {"monthly_budget_usd": 0}}, {}, {"spent_usd": 0.01})
}

test_an_agent_expires if {
	every time in ["2025-12-31T23:59:59Z", "2026-01-01T12:00:00Z", "2026-01-01T14:00:00+02:00", "1066-10-14T00:00:00Z"] {
		consequences == {"expired": "invalidate"} with input as with_spec({"agent": {"expires": time}})
	}
	every time in ["2026-01-01T12:00:01Z", "2026-01-01T12:00:00-01:00", "9999-12-31T00:00:00Z", null] {
		ids == set() with input as with_spec({"agent": {"expires": time}})
	}
}

test_a_tier_is_not_lowered_by_asking if {
	ids == {"tier_lowered"} with input as with_request({"tier": 1})
	ids == set() with input as with_request({"tier": 3})
}

test_an_environment_is_one_that_there_is if {
	reasons == {"environment qa is none of dev, prod, staging"} with input as with_request({"environment": "qa"})
	ids == set() with input as with_request({"environment": ""})
}

test_an_environment_has_its_tiers if {
	environments := {"prod": {"tiers": [1], "expiring_tiers": []}}
	reasons == {"agents of tier 2 may not run in prod"} with input as with_spec({}) with data.promotion.environments as environments
}

test_the_highest_tier_runs_in_production_for_a_limited_time if {
	ids == {"expiry_missing"} with input as promoting({"agent": {"expires": null}}, {"tier": 4}, {"tier": 4})
	ids == set() with input as promoting({}, {"tier": 4}, {"tier": 4})
	ids == set() with input as promoting({"agent": {"expires": null}}, {"tier": 4}, {"tier": 4, "environment": "dev"})
}
