package apidoc_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/apidoc"
	"github.com/pcnfunding/pcnfunding/services/gateway/internal/route"
)

const (
	protoDir     = "../../../../proto"
	openAPIDir   = "../../openapi"
	documentPath = openAPIDir + "/openapi.json"
)

func routes(t *testing.T) []route.Route {
	t.Helper()
	all, err := route.All(
		"pcnfunding.arrs.v1",
		"pcnfunding.core.v1",
		"pcnfunding.devfund.v1",
		"pcnfunding.activity.v1",
		"pcnfunding.iif.v1",
		"pcnfunding.partners.v1",
		"pcnfunding.payments.v1",
		"pcnfunding.register.v1",
	)
	require.NoError(t, err)
	return all
}

func build(t *testing.T) []byte {
	t.Helper()
	document, err := apidoc.Build(apidoc.Input{Routes: routes(t), Protos: os.DirFS(protoDir), Version: "1.0.0"})
	require.NoError(t, err)
	return document
}

type operation struct {
	OperationID string         `json:"operationId"`
	Summary     string         `json:"summary"`
	Description string         `json:"description"`
	Security    []any          `json:"security"`
	Roles       []string       `json:"x-roles"`
	GRPCMethod  string         `json:"x-grpc-method"`
	Parameters  []parameter    `json:"parameters"`
	RequestBody *body          `json:"requestBody"`
	Responses   map[string]any `json:"responses"`
}

type parameter struct {
	Ref     string          `json:"$ref"`
	Name    string          `json:"name"`
	In      string          `json:"in"`
	Example json.RawMessage `json:"example"`
	Schema  map[string]any  `json:"schema"`
}

type body struct {
	Content map[string]struct {
		Example json.RawMessage `json:"example"`
		Schema  map[string]any  `json:"schema"`
	} `json:"content"`
}

type document struct {
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas   map[string]map[string]any `json:"schemas"`
		Responses map[string]map[string]any `json:"responses"`
	} `json:"components"`
}

func decode(t *testing.T, data []byte) document {
	t.Helper()
	var out document
	require.NoError(t, json.Unmarshal(data, &out))
	return out
}

func TestBuild_GivesTheCommittedDocument(t *testing.T) {
	t.Parallel()
	committed, err := os.ReadFile(documentPath)
	require.NoError(t, err)
	require.True(t, bytes.Equal(committed, build(t)), "%s is not up to date; run: go run ./services/gateway/cmd/openapi", documentPath)
}

func TestBuild_GivesTheSameBytesEachTime(t *testing.T) {
	t.Parallel()
	first := build(t)
	for range 3 {
		require.Equal(t, first, build(t))
	}
}

func TestBuild_CoversEveryRoute(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	seen := map[string]bool{}
	for _, r := range routes(t) {
		op, ok := doc.Paths[r.Path][strings.ToLower(r.Verb)]
		require.True(t, ok, "%s %s", r.Verb, r.Path)
		require.False(t, seen[op.OperationID], "operation id %s stands twice", op.OperationID)
		seen[op.OperationID] = true
	}
	for _, name := range []string{
		"pcnfunding.arrs.v1.ArrsService",
		"pcnfunding.core.v1.CoreService",
		"pcnfunding.devfund.v1.DevfundService",
		"pcnfunding.activity.v1.ActivityService",
		"pcnfunding.iif.v1.IifService",
		"pcnfunding.partners.v1.PartnersService",
		"pcnfunding.payments.v1.PaymentsService",
		"pcnfunding.register.v1.RegisterService",
	} {
		service, err := protoregistry.GlobalFiles.FindDescriptorByName(protoName(name))
		require.NoError(t, err)
		methods := serviceOf(t, service).Methods()
		for i := range methods.Len() {
			id := string(service.Name()) + "_" + string(methods.Get(i).Name())
			require.True(t, seen[id], "%s has no REST route", id)
		}
	}
}

func TestBuild_KnowsEveryPathOfTheGeneralGenerator(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	files, err := filepath.Glob(openAPIDir + "/pcnfunding/*/v1/*.openapi.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for path, item := range decode(t, data).Paths {
			for verb := range item {
				require.Contains(t, doc.Paths[path], verb, "%s %s of %s", verb, path, file)
			}
		}
	}
}

func TestBuild_DocumentsEveryOperation(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	for path, item := range doc.Paths {
		for verb, op := range item {
			at := verb + " " + path
			require.NotEmpty(t, op.Summary, at)
			require.Contains(t, op.Description, "**Roles**", at)
			require.NotEmpty(t, op.Roles, at)
			require.NotEmpty(t, op.Security, at)
			for _, code := range []string{"400", "401", "403", "404", "429", "500", "503"} {
				require.Contains(t, op.Responses, code, at)
			}
			ok, _ := op.Responses["200"].(map[string]any)
			content, _ := ok["content"].(map[string]any)
			require.NotEmpty(t, content, at)
			for media, value := range content {
				require.NotEmpty(t, value.(map[string]any)["example"], "%s %s", at, media)
			}
			for _, p := range op.Parameters {
				require.True(t, p.Ref != "" || len(p.Example) > 0, "%s: parameter %s has no example", at, p.Name)
			}
			if verb == "post" {
				require.NotNil(t, op.RequestBody, at)
			}
		}
	}
	for name, response := range doc.Components.Responses {
		content, _ := response["content"].(map[string]any)
		problem, _ := content["application/problem+json"].(map[string]any)
		require.NotEmpty(t, problem["example"], name)
	}
}

func TestBuild_MutatingCallsTakeIdempotencyKeyAndTags(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	for _, r := range routes(t) {
		op := doc.Paths[r.Path][strings.ToLower(r.Verb)]
		refs := make([]string, 0, len(op.Parameters))
		for _, p := range op.Parameters {
			refs = append(refs, strings.TrimPrefix(p.Ref, "#/components/parameters/"))
		}
		require.Equal(t, r.Mutates(), slices.Contains(refs, "IdempotencyKey"), r.Path)
		_, conflict := op.Responses["409"]
		require.Equal(t, r.Mutates(), conflict, r.Path)
		tagged := r.HasBody && r.Field("etag") != nil
		require.Equal(t, tagged, slices.Contains(refs, "IfMatch"), r.Path)
		_, stale := op.Responses["412"]
		require.Equal(t, tagged, stale, r.Path)
	}
}

func TestBuild_RequestExamplesSatisfyTheContract(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	for _, r := range routes(t) {
		if r.Upload != nil {
			continue
		}
		op := doc.Paths[r.Path][strings.ToLower(r.Verb)]
		fields := map[string]json.RawMessage{}
		if op.RequestBody != nil {
			require.NoError(t, json.Unmarshal(op.RequestBody.Content["application/json"].Example, &fields))
		}
		for _, p := range op.Parameters {
			if p.Ref == "" && string(p.Example) != `""` {
				fields[p.Name] = p.Example
			}
		}
		data, err := json.Marshal(fields)
		require.NoError(t, err)
		kind, err := protoregistry.GlobalTypes.FindMessageByName(r.Input.FullName())
		require.NoError(t, err)
		message := kind.New().Interface()
		require.NoError(t, protojson.Unmarshal(data, message), "%s: %s", r.Path, data)
		require.NoError(t, protovalidate.Validate(message), r.Path)
	}
}

// answerOf returns the example of a call's JSON answer.
func answerOf[M proto.Message](t *testing.T, doc document, path string, into M) M {
	t.Helper()
	var answer struct {
		Content map[string]struct {
			Example json.RawMessage `json:"example"`
		} `json:"content"`
	}
	data, err := json.Marshal(doc.Paths[path]["get"].Responses["200"])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &answer))
	require.NoError(t, protojson.Unmarshal(answer.Content["application/json"].Example, into), path)
	return into
}

func TestBuild_ExamplesOfPaymentsAddUp(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	const runs = "/v1/payments/runs/{run_id}"
	run := answerOf(t, doc, runs, &paymentsv1.Run{})
	totals := run.GetTotals()
	require.Equal(t, totals.GetNetPence(), totals.GetLinesPence()+totals.GetBroughtForwardPence()-totals.GetCarriedForwardPence())

	var sum int64
	lines := answerOf(t, doc, runs+"/lines", &paymentsv1.ListRunLinesResponse{}).GetLines()
	for _, l := range lines {
		require.Equal(t, run.GetRunId(), l.GetRunId())
		sum += l.GetLine().GetAmountPence()
	}
	require.Equal(t, totals.GetLinesPence(), sum, "lines of the run")
	require.Len(t, lines, int(totals.GetLines()))

	payment := answerOf(t, doc, "/v1/payments/payments/{payment_id}", &paymentsv1.Payment{})
	require.Equal(t, totals.GetNetPence(), payment.GetAmountPence())
	require.Equal(t, totals.GetNetPence(), answerOf(t, doc, "/v1/payments/exports/{export_id}", &paymentsv1.Export{}).GetAmountPence())

	sum = 0
	for _, p := range answerOf(t, doc, runs+"/payees", &paymentsv1.ListRunPayeesResponse{}).GetPayees() {
		sum += p.GetNetPence()
	}
	require.Equal(t, totals.GetNetPence(), sum, "payees of the run")

	variance := answerOf(t, doc, runs+"/variance", &paymentsv1.Variance{})
	var now, before int64
	for _, r := range append(variance.GetRows(), variance.GetTotal()) {
		var effects int64
		for _, c := range r.GetCauses() {
			effects += c.GetEffectPence()
		}
		require.Equal(t, r.GetMovementPence(), effects, r.GetSentence())
		require.Equal(t, r.GetMovementPence(), r.GetThisMonthPence()-r.GetLastMonthPence(), r.GetSentence())
		now, before = now+r.GetThisMonthPence(), before+r.GetLastMonthPence()
	}
	require.Equal(t, 2*variance.GetTotal().GetThisMonthPence(), now)
	require.Equal(t, 2*variance.GetTotal().GetLastMonthPence(), before)
	require.Equal(t, totals.GetLinesPence(), variance.GetTotal().GetThisMonthPence())
}

func TestBuild_ExamplesOfTheLedgerAddUp(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	const commissioner = "/v1/payments/commissioners/{commissioner_code}"
	for _, posting := range answerOf(t, doc, "/v1/payments/postings", &paymentsv1.ListPostingsResponse{}).GetPostings() {
		var sum int64
		for _, e := range posting.GetEntries() {
			sum += e.GetAmountPence()
		}
		require.NotEmpty(t, posting.GetEntries())
		require.Zero(t, sum, posting.GetPostingId())
	}
	trial := answerOf(t, doc, commissioner+"/trial-balance", &paymentsv1.TrialBalance{})
	var debit, credit int64
	for _, b := range trial.GetBalances() {
		debit, credit = debit+max(0, b.GetBalancePence()), credit+max(0, -b.GetBalancePence())
	}
	require.Equal(t, trial.GetDebitPence(), debit)
	require.Equal(t, trial.GetCreditPence(), credit)
	require.Equal(t, debit, credit)

	accruals := answerOf(t, doc, commissioner+"/months/{month}/accruals", &paymentsv1.Accruals{})
	var sum int64
	for _, a := range accruals.GetAccruals() {
		sum += a.GetAmountPence()
	}
	require.Equal(t, accruals.GetTotalPence(), sum)

	statement := answerOf(t, doc, "/v1/payments/pcns/{pcn_code}/statements/{period}", &paymentsv1.Statement{})
	sum = 0
	for _, l := range append(statement.GetPayments(), statement.GetCorrections()...) {
		sum += l.GetLine().GetAmountPence()
	}
	require.Equal(t, statement.GetTotalPence(), sum)
	require.Equal(t, statement.GetClosingPence(), statement.GetOpeningPence()+statement.GetTotalPence()-statement.GetSentPence())
	for _, r := range statement.GetRemaining() {
		require.Equal(t, r.GetRemainingPence(), r.GetEntitledPence()-r.GetScheduledPence(), r.GetPaymentCode())
	}

	reconciliation := answerOf(t, doc, commissioner+"/reconciliation", &paymentsv1.Reconciliation{})
	sums := map[string][]int64{}
	for _, r := range reconciliation.GetRows() {
		require.Equal(t, r.GetDifferencePence(), r.GetPaidPence()-r.GetExpectedPence())
		key := r.GetMatch().String() + r.GetCause()
		if sums[key] == nil {
			sums[key] = make([]int64, 3)
		}
		sums[key][0], sums[key][1], sums[key][2] = sums[key][0]+1, sums[key][1]+r.GetExpectedPence(), sums[key][2]+r.GetPaidPence()
	}
	require.Len(t, sums, len(reconciliation.GetTotals()))
	for _, r := range reconciliation.GetTotals() {
		stated := []int64{int64(r.GetRows()), r.GetExpectedPence(), r.GetPaidPence()}
		require.Equal(t, stated, sums[r.GetMatch().String()+r.GetCause()], "%s %s", r.GetMatch(), r.GetCause())
	}

	for _, m := range answerOf(t, doc, "/v1/payments/moves", &paymentsv1.ListMovesResponse{}).GetMoves() {
		require.Equal(t, m.GetOpenBeforePence(), m.GetOpenAfterPence())
		require.Equal(t, m.GetOpenAfterPence(), m.GetAccruedPence()+m.GetPayablePence()+m.GetSentPence()-m.GetRecoveryPence())
	}
}

func TestBuild_ExamplesOfTheDevelopmentFundAddUp(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	decision := answerOf(t, doc, "/v1/devfund/sharing-decisions/{decision_id}", &devfundv1.SharingDecision{})
	sum := func(o *devfundv1.SharingOutcome) int64 {
		out := o.GetHeldPence()
		for _, s := range o.GetSlices() {
			out += s.GetAmountPence()
		}
		for _, s := range o.GetShares() {
			out += s.GetAmountPence()
		}
		return out
	}
	require.Equal(t, decision.GetOutcome().GetPoolPence(), sum(decision.GetOutcome()))
	require.NotEmpty(t, decision.GetOutcome().GetShares())
	for _, share := range decision.GetOutcome().GetShares() {
		steps, err := working.FromProto(share.GetWorking())
		require.NoError(t, err)
		gives, err := working.Evaluate(steps)
		require.NoError(t, err)
		require.Zero(t, gives.Cmp(money.Pence(share.GetAmountPence()).GBP()))
	}
	replayed := answerOf(t, doc, "/v1/devfund/sharing-decisions/{decision_id}:replay", &devfundv1.ReplaySharingResponse{})
	require.Equal(t, replayed.GetOutcome().GetPoolPence(), sum(replayed.GetOutcome()))
	held := answerOf(t, doc, "/v1/devfund/allocations/{allocation_id}", &devfundv1.Allocation{})
	require.Equal(t, held.GetAvailablePence(), held.GetSharedPence()+held.GetCommittedPence()+held.GetLeftPence())
	plan := answerOf(t, doc, "/v1/devfund/plans/{plan_id}", &devfundv1.Plan{})
	tranches := int64(0)
	for _, tranche := range plan.GetTranches() {
		tranches += tranche.GetAmountPence()
	}
	require.Equal(t, plan.GetPlannedPence(), tranches)
}

func TestBuild_ListsTheReasonsOfEachService(t *testing.T) {
	t.Parallel()
	var doc struct {
		Tags []struct{ Name, Description string }
	}
	require.NoError(t, json.Unmarshal(build(t), &doc))
	tags := map[string]string{}
	for _, tag := range doc.Tags {
		tags[tag.Name] = tag.Description
	}
	require.ElementsMatch(t, []string{
		"arrs",
		"core",
		"devfund",
		"activity",
		"iif",
		"partners",
		"payments",
		"register",
	}, slices.Collect(maps.Keys(tags)))
	values := paymentsv1.Reason(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		require.Contains(t, tags["payments"], "| `"+string(values.Get(i).Name())+"` | ")
	}
}

func TestBuild_LimitsEveryRequestField(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	for name, schema := range doc.Components.Schemas {
		if schema["additionalProperties"] != false {
			continue
		}
		properties, _ := schema["properties"].(map[string]any)
		for field, value := range properties {
			property, _ := value.(map[string]any)
			require.True(t, limited(property), "%s.%s has no limit: %v", name, field, property)
			require.NotEmpty(t, property["description"], "%s.%s", name, field)
		}
	}
	for path, item := range doc.Paths {
		for _, op := range item {
			for _, p := range op.Parameters {
				require.True(t, p.Ref != "" || limited(p.Schema), "%s: %s has no limit", path, p.Name)
			}
		}
	}
}

// limited says whether a value that fits a schema is bounded in size.
func limited(schema map[string]any) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { _, ok := schema[n]; return ok })
	}
	switch schema["type"] {
	case "string":
		return has("maxLength", "pattern", "enum") || schema["format"] == "date-time"
	case "integer":
		return has("minimum") && has("maximum")
	case "array":
		return has("maxItems")
	case "object":
		return has("maxProperties")
	}
	return true // a boolean, or a reference that is judged itself
}

func TestBuild_ExplainsEnumValues(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	description, _ := doc.Components.Schemas["pcnfunding.register.v1.FileKind"]["description"].(string)
	require.Contains(t, description, "`PRACTICE_MAPPING`: NHS England gp-reg-pat-prac-map")
	description, _ = doc.Components.Schemas["pcnfunding.type.v1.Origin.Kind"]["description"].(string)
	require.Contains(t, description, "`KIND_RATE`: A version of a rate.")
}

func TestBuild_WritesPenceAsText(t *testing.T) {
	t.Parallel()
	doc := decode(t, build(t))
	properties, _ := doc.Components.Schemas["pcnfunding.type.v1.PaymentLine"]["properties"].(map[string]any)
	amount, _ := properties["amount_pence"].(map[string]any)
	require.Equal(t, "string", amount["type"])
	require.Equal(t, "^-?[0-9]{1,19}$", amount["pattern"])
}
