package ordain.custom.residency.telemetry_test

import data.ordain.custom.residency.telemetry

found(region, endpoint) := result if {
	result := {finding.path | some finding in telemetry.deny} with input as {
		"object": {"kind": "Fleet", "spec": {"variants": [
			{"matchLabels": {"role": "db"}, "parameters": {"collector": {"samplingPercent": 1}}},
			{"matchLabels": {"region": region}, "parameters": {"collector": {"endpoint": endpoint}}},
		]}},
		"parameters": {"regions": ["eu"], "suffixes": [".eu.example.com"]},
	}
}

test_an_endpoint_elsewhere_is_found_at_its_place if {
	found("eu", "otel.us.example.com:4317") == {["spec", "variants", 1, "parameters", "collector", "endpoint"]}
}

test_a_name_that_only_looks_alike_is_found if {
	count(found("eu", "otel.eu.example.com.evil.example:4317")) == 1
	count(found("eu", "https://evil.example/otel.eu.example.com")) == 1
	count(found("eu", "oteleu.example.com:4317")) == 1
}

test_an_endpoint_of_the_region_passes_however_it_is_written if {
	count(found("eu", "otel.eu.example.com:4317")) == 0
	count(found("eu", "https://logs.eu.example.com")) == 0
	count(found("eu", "https://logs.eu.example.com:3100/loki")) == 0
}

test_other_regions_are_free if count(found("us", "otel.us.example.com:4317")) == 0

test_a_variant_without_an_endpoint_passes if {
	count(telemetry.deny) == 0 with input as {
		"object": {"kind": "Fleet", "spec": {"variants": [{"matchLabels": {"region": "eu"}, "parameters": {"collector": {}}}]}},
		"parameters": {"regions": ["eu"], "suffixes": [".eu.example.com"]},
	}
}
