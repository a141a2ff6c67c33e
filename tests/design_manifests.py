"""The manifests that the design shows, with real addresses and digests where it leaves them out."""

COLLECTOR = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {name: collector, tenant: shop}
spec:
  includes: [{name: library/base-dirs}]
  parameters:
    sampling: {type: number, default: 0.05}
    endpoint: {type: string}
  artifacts:
    - name: otelcol
      path: /opt/otelcol
      platforms:                   # or one url and sha256 for all
        linux/amd64: {url: "https://example.com/amd64", sha256: "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}
        linux/arm64: {url: "https://example.com/arm64", sha256: "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"}
  files:
    - path: /etc/otelcol/config.yaml
      mode: "0640"
      owner: otel
      content: |                   # or source: files/config.yaml, beside the manifest in git
        region: ${labels.region}
        host: ${agent.name}
        sampling: ${parameters.sampling}
      check: ["{staged:/opt/otelcol/otelcol}", validate, --config, "{staged}"]   # before the switch; {staged:PATH}: any path
  probes:
    - {name: ready, http: "http://127.0.0.1:13133/", every: 5s, failures: 3}
"""
RUNNING = """\
  processes:                       # supervised, for hosts with or without systemd
    - name: otelcol
      command: [/opt/otelcol/otelcol, --config, /etc/otelcol/config.yaml]
      user: otel
      environment: {GOMEMLIMIT: 200MiB}
      restart: on-failure
      restartOn: [/etc/otelcol/config.yaml]
      limits: {memory: 256Mi, cpu: 50%}
  services: [{name: nginx.service, state: running, enabled: true, reloadOn: [/etc/nginx/nginx.conf]}]
"""
FLEET = """\
apiVersion: ordain.dev/v1
kind: Fleet
metadata: {name: web, tenant: shop}
spec:
  selector: {matchLabels: {role: web}}
  components:
    - {name: base}
    - {name: collector, parameters: {sampling: 0.1}}
  variants:                        # all that match are merged in this order
    - {matchLabels: {region: eu}, parameters: {collector: {endpoint: otel-fra.example.com}}}
    - {matchLabels: {region: us}, parameters: {collector: {endpoint: otel-iad.example.com}}}
  modes:                           # in rising priority: the last one that is on counts
    - {name: incident, parameters: {collector: {sampling: 1.0}}, atMost: 4h}
  drift: enforce                   # or report
  freshness: 24h                   # how long agents trust what they have without hearing more
  objectives: {healthy: 99.5%, window: 30d}
  rollout:                         # left out: 5 % (at least one), 50 %, 100 %, 10 minutes of soak each
    waves:
      - {name: canary, matchLabels: {canary: "true"}, soak: 10m}
      - {name: early, limit: 10%, soak: 30m}
      - {name: rest, limit: 100%, approval: required}
    health: {successThreshold: 95%, quorum: 80%, reportTimeout: 15m, onFailure: rollback}
    windows: [{cron: "0 8 * * 1-5", duration: 9h, timeZone: Europe/Berlin}]
"""
OTHERS = (
    """\
# ordain.yaml, at the root
apiVersion: ordain.dev/v1
kind: Repository
metadata: {name: acme}
spec:
  format: 1                        # of bundles; raised by a commit, never by an upgrade
  tenants: tenants                 # a tenant's manifests lie anywhere under tenants/<tenant>/
  library: library                 # components that all tenants may use
  policies: policies               # own rules
  rules:
    supply-chain/https-only: {level: deny}
    hygiene/owner: {level: warn, parameters: {label: owner}}
  overrides:
    - {paths: ["tenants/lab/**"], rules: {reliability/memory-limit: {level: audit}}}
""",
    """\
{apiVersion: ordain.dev/v1, kind: Tenant, metadata: {name: shop},
 spec: {description: The web shop, reporting: {every: 60s, lostAfter: 5m}}}
""",
    """\
{apiVersion: ordain.dev/v1, kind: Agent,
 metadata: {name: web-01, tenant: shop, labels: {role: web, region: eu, canary: "true"}}, spec: {}}
""",
    """\
{apiVersion: ordain.dev/v1, kind: AgentPool,
 metadata: {name: runners, tenant: shop, labels: {role: runner}}, spec: {lease: 2h, maximum: 500}}
""",
    """\
apiVersion: ordain.dev/v1
kind: Waiver
metadata: {name: legacy-mirror, tenant: shop}
spec: {rule: supply-chain/https-only, object: {kind: Component, name: collector}, at: "artifacts[otelcol].url",
  value: "http://mirror.example.com/otelcol.tar.gz", reason: "mirror has no TLS yet", owner: ana@example.com, expires: 2027-01-31}
""",
    """\
apiVersion: ordain.dev/v1
kind: Freeze
metadata: {name: peak-season, tenant: shop}
spec: {fleets: [web], reason: "peak season", owner: ana@example.com, from: 2026-11-26T00:00:00Z, until: 2026-12-01T00:00:00Z}
""",
)
