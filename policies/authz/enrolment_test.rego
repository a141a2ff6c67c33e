package ordain.authz.enrolment_test

import data.ordain.authz.enrolment

by_token := {
	"tenant": "shop",
	"agent": "web-01",
	"pool": "",
	"known": true,
	"standing": "",
	"reimage": false,
	"how": "token",
	"address": "192.0.2.1",
	"facts": {},
	"labels": {},
	"fleets": ["web"],
	"platform": null,
	"claims": {},
}

by_platform := object.union(by_token, {
	"agent": "",
	"pool": "runners",
	"how": "platform",
	"platform": {
		"issuer": "https://id.example.com",
		"audience": "ordain",
		"claims": {"repository": ["acme/shop", "acme/lab-*"]},
		"agent_claim": "",
	},
	"claims": {"repository": "acme/shop"},
})

asked(question, change) := answer if {
	answer := enrolment.decision with input as object.union(question, change)
}

test_a_host_that_git_knows_joins_by_a_token if asked(by_token, {}).allow

test_one_that_git_does_not_know_is_refused if {
	answer := asked(by_token, {"known": false})
	answer == {"allow": false, "why": "git does not know agent web-01 of tenant shop"}
}

test_a_name_that_is_enrolled_joins_again_only_by_a_reimage if {
	not asked(by_token, {"standing": "enrolled"}).allow
	asked(by_token, {"standing": "enrolled", "reimage": true}).allow
	asked(by_token, {"standing": "decommissioned"}).allow
}

test_quarantine_is_not_left_by_enrolling if not asked(by_token, {"standing": "quarantined", "reimage": true}).allow

test_a_revoked_host_joins_again_by_a_token_that_says_so_and_not_by_its_manifest if {
	not asked(by_token, {"standing": "revoked"}).allow
	asked(by_token, {"standing": "revoked", "reimage": true}).allow
	not asked(by_platform, {"standing": "revoked", "reimage": true}).allow
}

test_a_platforms_word_lets_join_whom_its_claims_fit if {
	asked(by_platform, {}).allow
	asked(by_platform, {"claims": {"repository": "acme/lab-7"}}).allow
	asked(by_platform, {"claims": {"repository": ["other", "acme/shop"]}}).allow
	not asked(by_platform, {"claims": {"repository": "evil/shop"}}).allow
	not asked(by_platform, {"claims": {"repository": {"acme/shop": true}}}).allow
	not asked(by_platform, {"claims": {"repository": null}}).allow
}

test_a_claim_that_is_asked_for_must_be_there if {
	answer := asked(object.remove(by_platform, ["claims"]), {"claims": {}})
	answer == {"allow": false, "why": "the platform's token lacks claim repository"}
}

test_numbers_and_booleans_are_compared_as_they_are_written if {
	wanted := object.union(by_platform.platform, {"claims": {"run": ["7"], "protected": ["true"]}})
	asked(object.remove(by_platform, ["platform", "claims"]), {
		"platform": json.patch(wanted, [{"op": "remove", "path": "/claims/repository"}]),
		"claims": {"run": 7, "protected": true},
	}).allow
}

test_where_a_claim_must_name_the_agent_it_does if {
	platform := object.union(by_platform.platform, {"agent_claim": "host"})
	named := object.union(by_platform, {"agent": "web-01", "pool": "", "platform": platform})
	asked(named, {"claims": {"host": "web-01"}}).allow
	not asked(named, {"claims": {"host": "web-02"}}).allow
	not asked(named, {}).allow
}

test_without_a_platform_in_the_manifest_its_word_counts_for_nothing if {
	not asked(object.remove(by_platform, ["platform"]), {"platform": null}).allow
}

test_a_platform_that_says_too_little_is_refused if {
	short := object.remove(by_platform, ["platform"])
	not asked(short, {"platform": {"claims": {}}}).allow
	not asked(short, {"platform": {"agent_claim": ""}}).allow
}

test_an_incomplete_question_is_refused if {
	answer := enrolment.decision with input as {}
	not answer.allow
}
