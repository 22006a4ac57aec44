package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// claimant is the commissioner whose claims the sample models for this test: the one with the fewest PCNs.
const claimant = "QOC"

// emptyFile is what an upload sends: a file that is read, and refused for what it is.
const emptyFile = "a,b\n1,2\n"

// The bodies. Everything that is asked for belongs to the own ones, and the foreign ones are real neighbours: other commissioners, and other
// PCNs of the same commissioners.
var (
	ownCommissioners     = []string{"16C", "QHM", claimant, "36L", "08J"}
	foreignCommissioners = []string{"00R", "QE1"}
	ownPCNs              = []string{"U89141", "U13205", "U00070"}
	foreignPCNs          = []string{"U07032", "U24883"}
)

// vocabulary is what requests are filled with before the script has run.
func vocabulary() words {
	day := func(n int) string { return time.Now().AddDate(0, 0, n).UTC().Format(time.RFC3339) }
	return words{
		"commissioner_code": "16C", "pcn_code": "U89141", "month": "2022-04", "financial_year": "2022-23", "period": "2022-04",
		"etag": "1", "reason": "matrix", "schedule_id": "core-16C-2022-04-1", "run_id": "16C-2022-04-1", "export_id": "16C-2022-04-1-journal",
		"activity.month": "2020-11", "activity.report_id": "activity-16C-2020-11-1", "activity.before_report_id": "activity-16C-2021-11-1",
		"arrs.commissioner_code": claimant, "arrs.pcn_code": "U13205", "arrs.month": "2022-10", "arrs.schedule_id": "arrs-" + claimant + "-2022-10-1",
		"iif.commissioner_code": "QHM", "iif.financial_year": "2023-24", "iif.month": "2024-08", "iif.schedule_id": "iif-QHM-2024-08-1",
		"register.financial_year": "2021-22", "requirement_id": "2022-23-extended-hours",
		"devfund.commissioner_code": "36L", "devfund.pcn_code": "U00070", "devfund.month": "2022-05", "devfund.schedule_id": "devfund-36L-2022-05-1",
		"yesterday": day(-1), "tomorrow": day(1), "event_id": "none",
	}
}

// step is one call of the script, which makes or finds one thing of each kind that the own bodies have.
type step struct {
	role optionsv1.Role
	call string
	// request adds to what the vocabulary fills.
	request string
	// keep names words by where they stand in the answer, such as claims.0.claim_id.
	keep map[string]string
}

// play runs the script and returns the words it has found.
func play(ctx context.Context, s *suite, all []call) (words, error) {
	byName := make(map[string]call, len(all))
	for _, c := range all {
		byName[c.name] = c
	}
	found := vocabulary()
	var failed []error
	for _, part := range []struct {
		of    []string
		steps []step
	}{{ownCommissioners, script}, {[]string{auth.England}, ofEngland}, {foreignCommissioners, ofForeign}} {
		for i, step := range part.steps {
			if err := step.run(ctx, s, byName[step.call], part.of, found); err != nil {
				failed = append(failed, fmt.Errorf("step %d of %s, %s: %w", i, part.of, step.call, err))
			}
		}
	}
	return found, errors.Join(failed...)
}

func (s step) run(ctx context.Context, on *suite, c call, of []string, found words) error {
	token, err := on.token(s.role, of, ownPCNs)
	if err != nil {
		return err
	}
	req, err := protoregistry.GlobalTypes.FindMessageByName(c.input.FullName())
	if err != nil {
		return err
	}
	message := req.New().Interface()
	if err := protojson.Unmarshal([]byte(found.expand(s.request)), message); err != nil {
		return err
	}
	if field := c.input.Fields().ByName("request_id"); field != nil {
		filled, err := c.request(found, false)
		if err != nil {
			return err
		}
		message.ProtoReflect().Set(field, filled.ProtoReflect().Get(field))
	}
	answer, err := c.overGRPC(ctx, on.conn, token, message)
	if err != nil {
		return err
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(answer)
	if err != nil {
		return err
	}
	var content any
	if err := json.Unmarshal(text, &content); err != nil {
		return err
	}
	for name, place := range s.keep {
		if found[name], err = at(content, place); err != nil {
			return fmt.Errorf("%w in %.2000s", err, text)
		}
	}
	return nil
}

// at reads a scalar out of JSON by its place.
func at(content any, place string) (string, error) {
	for part := range strings.SplitSeq(place, ".") {
		switch inner := content.(type) {
		case map[string]any:
			content = inner[part]
		case []any:
			found := slices.IndexFunc(inner, func(element any) bool { return picked(element, part) })
			if n, err := strconv.Atoi(part); err == nil && n < len(inner) {
				found = n
			}
			if found < 0 {
				return "", fmt.Errorf("nothing stands at %s", place)
			}
			content = inner[found]
		default:
			return "", fmt.Errorf("nothing stands at %s", place)
		}
	}
	switch value := content.(type) {
	case string:
		return value, nil
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64), nil
	default:
		return "", fmt.Errorf("nothing stands at %s", place)
	}
}

// picked tells whether an element of a list is the one that a place such as pcn_code=U13205 picks.
func picked(element any, part string) bool {
	name, want, ok := strings.Cut(part, "=")
	fields, isObject := element.(map[string]any)
	return ok && isObject && fields[name] == want
}
