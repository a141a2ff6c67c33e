package ordain.rules.hygiene.owner_test

import data.ordain.rules.hygiene.owner

found(value) := result if {
	result := count(owner.deny) with input as {"object": value, "parameters": {"label": "owner"}}
}

test_a_label_names_the_owner if {
	found({"kind": "Fleet", "metadata": {"name": "web", "labels": {"owner": "team-web"}}}) == 0
}

test_no_owner_is_found if {
	found({"kind": "Fleet", "metadata": {"name": "web"}}) == 1
	found({"kind": "Component", "metadata": {"name": "a", "labels": {"team": "web"}}}) == 1
	found({"kind": "Component", "metadata": {"name": "a", "labels": {"owner": ""}}}) == 1
}

test_hosts_need_none if found({"kind": "Agent", "metadata": {"name": "web-01"}}) == 0
