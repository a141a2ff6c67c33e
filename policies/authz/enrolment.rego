# METADATA
# title: Which hosts may join
# description: |
#   A host that git knows may join by a token that an operator made for it, or by its platform's word where its manifest names that
#   platform and every claim that the manifest asks for is there. A name that is enrolled already joins again only where its manifest
#   or its token allows a re-image. Nothing else allows anything. That tokens and signatures hold was checked before.
#
#   input: {tenant, agent, pool, known, standing, reimage, how, address, facts, labels, fleets, platform, claims}; `agent` is "" for a
#   new member of `pool`; `known` says whether verified controls have it; `standing` is "" or the state of whoever has the name;
#   `reimage` whether the token, or for a name that is not revoked the manifest, lets it enrol again; `how` is `token` or `platform`;
#   `platform` is what the manifest says of the issuer ({issuer, audience, claims, agent_claim}, null for tokens) and `claims` what its
#   token says. `facts` are what a host says of itself: good for refusing, never for allowing.
package ordain.authz.enrolment

decision := {"allow": count(objections) == 0, "why": concat("; ", sort(objections))}

objections contains "the question lacks something" if not is_complete

is_complete if {
	is_string(input.tenant)
	is_string(input.agent)
	is_string(input.pool)
	is_boolean(input.known)
	is_string(input.standing)
	is_boolean(input.reimage)
	input.how in {"token", "platform"}
	is_object(input.claims)
	says_its_platform
}

says_its_platform if input.how == "token"

says_its_platform if is_null(input.platform)

says_its_platform if {
	is_object(input.platform.claims)
	is_string(input.platform.agent_claim)
}

who := sprintf("agent %s", [input.agent]) if input.agent != ""

who := sprintf("pool %s", [input.pool]) if input.agent == ""

objections contains sprintf("git does not know %s of tenant %s", [who, input.tenant]) if not input.known

objections contains sprintf("%s is enrolled already, and neither its manifest nor its token allows a re-image", [who]) if {
	is_there
	not input.reimage
}

objections contains sprintf("%s is in quarantine; an operator decides what becomes of it", [who]) if input.standing == "quarantined"

objections contains sprintf("%s was revoked; it joins again by a token that allows a re-image", [who]) if {
	input.standing == "revoked"
	not renewed_by_hand
}

is_there if input.standing == "enrolled"

# A manifest says what may happen at any time; that a revoked host is good again, somebody must say who knows.
renewed_by_hand if {
	input.how == "token"
	input.reimage
}

objections contains sprintf("%s names no platform whose word lets it join", [who]) if {
	input.how == "platform"
	not is_object(input.platform)
}

objections contains sprintf("the platform's token lacks claim %s", [claim]) if {
	some claim, _ in input.platform.claims
	not claim in object.keys(input.claims)
}

objections contains sprintf("claim %s of the platform's token is not what the manifest asks for", [claim]) if {
	some claim, accepted in input.platform.claims
	claim in object.keys(input.claims)
	not is_accepted(values(input.claims[claim]), accepted)
}

objections contains sprintf("claim %s of the platform's token does not name %s", [input.platform.agent_claim, who]) if {
	input.how == "platform"
	not names_it
}

names_it if input.platform.agent_claim == ""

names_it if input.claims[input.platform.agent_claim] == input.agent

# A claim with several values is accepted if one of them is.
is_accepted(given, accepted) if {
	some value in given
	some pattern in accepted
	fits(value, pattern)
}

fits(value, pattern) if value == pattern

fits(value, pattern) if {
	endswith(pattern, "*")
	startswith(value, trim_suffix(pattern, "*"))
}

values(claim) := [claim] if is_string(claim)

values(claim) := [sprintf("%v", [claim])] if is_number(claim)

values(claim) := [sprintf("%v", [claim])] if is_boolean(claim)

values(claim) := [value | some value in claim; is_string(value)] if is_array(claim)

values(claim) := [] if is_object(claim)

values(claim) := [] if is_null(claim)
