package ordain.rules.release.paths_lost_test

import data.ordain.rules.release.paths_lost

groups(paths, gone) := {"eu": {
	"base": {"files": array.concat(
		[{"path": path} | some path in paths],
		[{"path": path, "absent": true} | some path in gone],
	)},
	"modes": [],
}}

found(old, new) := result if {
	result := {finding.path: finding.message | some finding in paths_lost.deny} with input as {
		"old": old,
		"release": {"groups": new},
		"parameters": {"share": "50%", "least": 4},
	}
}

test_most_paths_gone_is_found if {
	found({"release": {"groups": groups(["/a", "/b", "/c", "/d"], [])}}, groups(["/a"], ["/b"])) == {
		["fleet", "spec", "components"]: "3 of the 4 paths that hosts of this fleet hold would go, /b among them",
	}
}

test_half_of_them_passes if {
	found({"release": {"groups": groups(["/a", "/b", "/c", "/d"], [])}}, groups(["/a", "/b"], [])) == {}
}

test_fleets_with_few_paths_pass if {
	found({"release": {"groups": groups(["/a", "/b", "/c"], [])}}, groups([], [])) == {}
}

test_what_was_absent_before_is_not_lost if {
	found({"release": {"groups": groups(["/a", "/b", "/c"], ["/d", "/e", "/f", "/g"])}}, groups([], [])) == {}
}

test_artifacts_count if {
	old := {"eu": {"base": {"artifacts": [{"path": path} | some path in ["/a", "/b", "/c", "/d"]]}, "modes": []}}
	count(found({"release": {"groups": old}}, {})) == 1
}

test_a_first_release_passes if found(null, groups(["/a"], [])) == {}
