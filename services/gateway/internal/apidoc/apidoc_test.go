package apidoc_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
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
	all, err := route.All("pcnfunding.core.v1", "pcnfunding.payments.v1", "pcnfunding.register.v1")
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
	for _, name := range []string{"pcnfunding.core.v1.CoreService", "pcnfunding.payments.v1.PaymentsService", "pcnfunding.register.v1.RegisterService"} {
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
