package ordain.rules.reliability.probes_test

import data.ordain.rules.reliability.probes

found(spec) := result if {
	result := {finding.message: finding.path | some finding in probes.deny} with input as {"object": {"spec": spec}}
}

nothing := {"nothing notices when app does not work": ["spec", "probes"]}

test_what_runs_without_a_probe_is_found if {
	found({"processes": [{"name": "app"}]}) == nothing
	found({"services": [{"name": "app"}], "probes": []}) == nothing
	found({"services": [{"name": "app", "state": "running"}]}) == nothing
	every mode in ["0755", "0700", "0610", "0601"] {
		found({"artifacts": [{"name": "app", "mode": mode}]}) == nothing
	}
}

test_a_probe_is_enough if found({"processes": [{"name": "app"}], "probes": [{"name": "ready"}]}) == {}

test_what_does_not_run_passes if {
	found({"services": [{"name": "app", "state": "stopped"}]}) == {}
	found({"artifacts": [{"name": "app", "mode": "0644"}]}) == {}
	found({"artifacts": [{"name": "app", "mode": "1644"}]}) == {}
	found({"artifacts": [{"name": "app"}]}) == {}
	found({"files": [{"path": "/etc/app", "mode": "0755"}]}) == {}
}
