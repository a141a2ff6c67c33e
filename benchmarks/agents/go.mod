module ordain.dev/benchmarks/agents

go 1.22
