# The bare call prints the targets.
SHELL := /bin/bash
BIN := $(CURDIR)/.bin
export PATH := $(BIN):$(PATH)
MODULES := proto pkg services
BENCH ?= full

.PHONY: help
help: ## Print the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/pcnfunding
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/pcnfunding ./services/cmd/pcnfunding

.PHONY: run
run: build ## Start the whole suite on real sample data and keep serving
	bin/pcnfunding serve all --sample

.PHONY: demo
demo: build ## Load the sample, close its months, print what they came to and exit
	bin/pcnfunding demo

.PHONY: test
test: ## Unit, store, service and end-to-end tests with the race detector
	CGO_ENABLED=1 go test -race -timeout 20m work

.PHONY: test-postgres
test-postgres: ## The same, with every store test on a Postgres that is started for it
	@started=$$(.ci/postgres start $(CURDIR)/var/postgres) || exit 1; eval "$$started"; \
	trap '.ci/postgres stop $(CURDIR)/var/postgres' EXIT; \
	CI=true CGO_ENABLED=1 go test -race -timeout 20m work

.PHONY: e2e
e2e: build ## End-to-end tests over REST; BASE_URL points them at a running suite
	go test -count=1 -timeout 10m ./services/e2e/...

.PHONY: drill
drill: build ## Back up, destroy, restore and rebuild on both stores, and hold the books against each other
	@started=$$(.ci/postgres start $(CURDIR)/var/drill) || exit 1; eval "$$started"; \
	trap '.ci/postgres stop $(CURDIR)/var/drill' EXIT; \
	PCN_BIN=$(CURDIR)/bin/pcnfunding E2E_KILLS=0 go test -count=1 -v -timeout 15m -run '^TestMonth_SurvivesKills$$' ./services/e2e

.PHONY: fuzz
fuzz: ## Fuzz money, rules and file readers, a minute each
	@for target in $$(grep -rl --include='*_test.go' '^func Fuzz' pkg services | xargs -n1 dirname | sort -u); do \
	  for name in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$target/*_test.go | sed 's/func //'); do \
	    go test -run '^$$' -fuzz "^$$name$$" -fuzztime 60s ./$$target || exit 1; done; done

.PHONY: fuzz-short
fuzz-short: ## The same, a fixed and small number of inputs each, as CI runs it
	.ci/fuzz

.PHONY: audit
audit: ## Secrets, dependencies, licences, and known vulnerabilities, which need the network
	.ci/audit
	.bin/audit licences
	@git diff --exit-code --stat docs/licences.md || { echo "licences have changed: look at them and commit docs/licences.md"; exit 1; }
	.ci/vulnerabilities

.PHONY: bench
bench: build ## Benchmarks, each beside its bound; BENCH=short for a quick look
	BENCH=$(BENCH) .ci/bench

.PHONY: check
check: build ## Prove the worked examples in process
	@for file in services/*/testdata/examples.csv; do echo $$file; bin/pcnfunding check $$file || exit 1; done

# What the image is labelled with. The time is the commit's, so that the same commit gives the same digest.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
IMAGE = SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) GOWORK=off go -C tools/image run . -root $(CURDIR) -out $(CURDIR)/bin/image \
	-version $(VERSION) -revision $$(git rev-parse HEAD)

.PHONY: image
image: ## Image for both platforms in bin/image, with its bill of materials; PUSH=reference pushes it too
	$(IMAGE) $(if $(PUSH),-push $(PUSH))

.PHONY: sbom
sbom: ## Bill of materials of this machine's platform in bin/image
	$(IMAGE) -platforms linux/$$(go env GOARCH)

.PHONY: image-test
image-test: ## Hold the image, its bill of materials and the Compose file to their promises
	GOWORK=off CGO_ENABLED=0 go -C tools/image test -trimpath -count=1 -timeout 15m ./...

# What is upgraded from, unless FROM names another commit: the last release, or what stood before the last change of a schema came in.
FROM ?= $(shell git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || git log -1 --first-parent -m --format=%H^ -- '*/migrations/*.sql')

.PHONY: rolling
rolling: build ## Upgrade every process of all services from FROM to this commit under load; needs PCN_TEST_POSTGRES
	@set -e; old=$$(mktemp -d); trap 'git worktree remove --force $$old/tree; rm -rf $$old' EXIT; \
	echo "from $(FROM)"; git worktree add --detach --quiet $$old/tree $(FROM); \
	(cd $$old/tree && CGO_ENABLED=0 go build -trimpath -o $$old/pcnfunding ./services/cmd/pcnfunding); \
	ROLLING_FROM=$$old/pcnfunding ROLLING_TO=$(CURDIR)/bin/pcnfunding ROLLING_SETTLE=31s \
	  go test -count=1 -v -timeout 15m ./services/e2e/rolling

.PHONY: alerts
alerts: ## Unit tests of the alert rules, and what a running suite tells held against rules, dashboards and documents
	GOWORK=off GOBIN=$(BIN) go -C tools/observe install -tags remove_all_sd tool
	promtool check rules deploy/observability/rules/*.yaml
	promtool test rules deploy/observability/tests/*.yaml
	GOWORK=off go -C tools/observe test -count=1 ./...
	go test -count=1 -run '^TestServe_TellsOfItself$$' ./services/cmd/pcnfunding

.PHONY: tools
tools: ## Install the pinned tools into .bin
	@for group in gen lint; do GOWORK=off GOBIN=$(BIN) go -C tools/$$group install tool || exit 1; done

.PHONY: generate
generate: ## Regenerate schemas, contracts, gateway and API documents
	GOBIN=$(BIN) GOWORK=off go -C tools/gen install tool
	GOWORK=off go -C tools/schemas run . $(CURDIR)/third_party/proto
	buf format -w
	rm -rf proto/gen services/gateway/gen
	buf generate
	go run ./services/gateway/cmd/openapi
	go run ./services/gateway/cmd/authorisation

.PHONY: fmt
fmt: ## Format Go and proto
	gofumpt -w $(MODULES) tools
	buf format -w

.PHONY: lint
lint: ## Lint Go and proto
	GOWORK=off GOBIN=$(BIN) go -C tools/lint install tool
	GOWORK=off GOBIN=$(BIN) go -C tools/gen install tool
	golangci-lint run $$(go list -m -f '{{.Dir}}/...')
	buf lint

.PHONY: chart
chart: build ## Lint the Helm chart, render it and validate what comes out
	@for group in kube kubecheck; do GOWORK=off CGO_ENABLED=0 GOBIN=$(BIN) go -C tools/$$group install tool || exit 1; done
	@GOWORK=off CGO_ENABLED=0 go -C tools/kube build -o $(BIN)/arguments ./arguments
	deploy/helm/validate bin/pcnfunding

.PHONY: chart-schemas
chart-schemas: ## Write the schemas that charts are validated against, from the Kubernetes module
	@swagger=$$(GOWORK=off go -C tools/controlplane list -m -f '{{.Dir}}' k8s.io/kubernetes)/api/openapi-spec/swagger.json; \
	GOWORK=off go -C tools/controlplane run ./schemas $$swagger $(CURDIR)/deploy/kube/schemas

.PHONY: control-plane
control-plane: ## Build a Kubernetes control plane into .bin/controlplane, and Helm; ten minutes of two cores the first time
	@GOWORK=off CGO_ENABLED=0 GOBIN=$(BIN) go -C tools/kube install helm.sh/helm/v4/cmd/helm
	@version=$$(GOWORK=off go -C tools/controlplane list -m -f '{{.Version}}' k8s.io/kubernetes); \
	IFS=. read -r major minor _ <<<"$${version#v}"; set_to=k8s.io/component-base/version; \
	GOWORK=off CGO_ENABLED=0 GOBIN=$(BIN)/controlplane go -C tools/controlplane install -trimpath \
	  -ldflags "-s -w -X $$set_to.gitVersion=$$version -X $$set_to.gitMajor=$$major -X $$set_to.gitMinor=$$minor" tool

.PHONY: kube-verify
kube-verify: control-plane ## Install, upgrade, scale, roll back and uninstall the chart on a real control plane
	deploy/kube/verify

.PHONY: tidy
tidy: ## Bring the modules to one set of versions and tidy them
	go work sync
	for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy) || exit 1; done

.PHONY: verify
verify: generate tidy fmt ## Fail if generated code, modules or formatting are not fresh
	@git diff --exit-code --stat || { echo "the tree changed: commit what make verify wrote"; exit 1; }
	@test -z "$$(git status --porcelain)" || { git status --short; echo "files are missing from the commit"; exit 1; }

.PHONY: modules
modules: ## Build each module alone
	for m in $(MODULES); do (cd $$m && GOWORK=off go build ./...) || exit 1; done

.PHONY: ci
ci: ## Exactly what CI runs
	.ci/run
