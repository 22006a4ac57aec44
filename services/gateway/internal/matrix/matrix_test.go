package matrix

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway"
)

// workers is how many calls are made at once: fewer than the suite takes, so that none is refused for that.
const workers = 16

// overGRPC is how a call was made that did not go by a route.
const overGRPC = "gRPC"

// cell is one principal's call.
type cell struct {
	call
	principal

	want   outcome
	byREST bool
}

// String names the cell in messages.
func (c cell) String() string { return c.name + " by " + c.principal.String() }

// field is the whole matrix with what it is played on.
type field struct {
	words words
	cells []cell

	mu sync.Mutex
	// reached are the calls that somebody got through to a thing of their own.
	reached map[string]bool
	wrong   []string
}

// TestMatrix makes every call of the contracts as nobody, as a holder of no role, and as every role, held for the bodies of the
// request, for others and for England, over gRPC and REST, and holds each answer against the declared rule. Those who are refused
// come first, and must leave no trace.
func TestMatrix(t *testing.T) {
	f := newField(t)
	before := running.rows(t)
	f.play(t, func(c cell) bool { return c.want != admitted })
	assert.Equal(t, before, running.rows(t), "those who were refused have left something behind")
	f.play(t, func(c cell) bool { return c.want == admitted && !c.rule.Mutates })
	f.play(t, func(c cell) bool { return c.want == admitted && c.rule.Mutates })
	slices.Sort(f.wrong)
	assert.Empty(t, f.wrong, "%d of %d cells are not as declared:\n%s", len(f.wrong), len(f.cells), strings.Join(f.wrong, "\n"))
	t.Run("reaches what others must not see", f.proves)
}

func newField(t *testing.T) *field {
	t.Helper()
	all, err := calls(gateway.Packages())
	require.NoError(t, err)
	found, err := play(t.Context(), running, all)
	require.NoError(t, err)
	who, err := principals(running.token)
	require.NoError(t, err)
	f := &field{words: found, reached: make(map[string]bool)}
	for _, c := range all {
		require.NotEmpty(t, c.routes, "%s has no route", c.name)
		f.cells = append(f.cells, cellsOf(c, who)...)
	}
	return f
}

// cellsOf returns the cells of a call. Of the principals who are let through one of each role stands for those who hold other bodies
// besides, and the first of them makes the call by REST as well: how a route carries a caller is tried by those who are refused.
func cellsOf(c call, who []principal) []cell {
	var out []cell
	routed := false
	for _, p := range who {
		one := cell{call: c, principal: p, want: wanted(c, p), byREST: p.commissioner == p.pcn}
		if one.want == admitted {
			apart := p.commissioner == p.pcn
			if p.england != (c.rule.Scope == optionsv1.Scope_SCOPE_ENGLAND) || !p.england && !apart {
				continue
			}
			one.byREST, routed = !routed, true
		}
		out = append(out, one)
	}
	return out
}

// wanted is what the rule says, but for the exceptions.
func wanted(c call, p principal) outcome {
	want := expected(c.rule, p)
	if e, ok := exceptions[c.name]; ok && (want == admitted || want == hidden) && e.who(p) {
		return e.want
	}
	return want
}

// play makes the calls of some cells, over gRPC and over each of their routes.
func (f *field) play(t *testing.T, chosen func(cell) bool) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(workers)
	for _, c := range f.cells {
		if chosen(c) {
			group.Go(func() error { return f.ask(ctx, c) })
		}
	}
	require.NoError(t, group.Wait())
}

func (f *field) ask(ctx context.Context, c cell) error {
	req, err := c.request(f.words, ofPCN(c.role))
	if err != nil {
		return err
	}
	answer, err := c.overGRPC(ctx, running.conn, c.token, req)
	content, markErr := contentOf(answer, err)
	if markErr != nil {
		return markErr
	}
	f.judge(c, overGRPC, content, err)
	for _, r := range c.routes {
		if !c.byREST {
			break
		}
		req, err := c.request(f.words, ofPCN(c.role))
		if err != nil {
			return err
		}
		body, err := c.overREST(ctx, running, r, c.token, req)
		f.judge(c, r.Verb+" "+r.Path, body, err)
	}
	return nil
}

// contentOf returns what an answer says as text.
func contentOf(answer proto.Message, err error) ([]byte, error) {
	if err != nil {
		return nil, nil //nolint:nilerr // the refusal is judged, there is nothing to read
	}
	if file, ok := answer.(*httpbody.HttpBody); ok {
		return file.GetData(), nil
	}
	return protojson.Marshal(answer)
}

// judge compares an answer with what is wanted. An answer in which nothing of the own bodies stands hides them as well as a refusal.
func (f *field) judge(c cell, how string, content []byte, err error) {
	got, code := told(err), status.Code(err)
	seen := err == nil && shows(c.role, content)
	reason := reasonOf(err)
	switch {
	case c.want == hidden && err == nil && !seen && !c.isFile():
		got = hidden // an answer in which nothing of the own bodies stands hides them as well as a refusal
	case c.want == admitted && got == hidden && reason != auth.ReasonNotFound && !c.byThing():
		got = admitted // the rule let the caller through, and there is no such thing as the request names
	}
	_, tried := roleOnly[c.name]
	reached := seen || err == nil && c.isFile() || err != nil && reason != rpc.ReasonRequestInvalid
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case code == codes.Internal || code == codes.Unknown || code == codes.Unavailable || code == codes.Unimplemented:
		f.wrong = append(f.wrong, fmt.Sprintf("%s over %s: %v", c, how, err))
	case tried && (c.want == admitted || c.want == hidden) && (got == admitted || got == hidden):
	case got != c.want:
		f.wrong = append(f.wrong, fmt.Sprintf("%s over %s: want %s, got %s: %v", c, how, c.want, got, err))
	case c.want == admitted && reached && how == overGRPC:
		f.reached[c.name] = true
	}
}

// shows tells whether something of the own bodies stands in an answer to a role: what is of a PCN names it, what is of a commissioner may
// also be of another of its PCNs.
func shows(role optionsv1.Role, content []byte) bool {
	codes := ownPCNs
	if !ofPCN(role) {
		codes = slices.Concat(ownPCNs, ownCommissioners)
	}
	return slices.ContainsFunc(codes, func(code string) bool { return bytes.Contains(content, []byte(code)) })
}

// proves checks that the calls whose refusals rest on what the suite holds were let through to it for its owners: a thing that
// is not there hides itself. The calls for which there is nothing to reach are listed, and the list may not be longer than it needs.
func (f *field) proves(t *testing.T) {
	var unproved []string
	for _, c := range f.cells {
		if c.byThing() && !f.reached[c.name] && !slices.Contains(unproved, c.name) {
			unproved = append(unproved, c.name)
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(roleOnly)), unproved)
}
