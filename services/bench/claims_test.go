package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

// claimDay is the day on which claims are put forward: the form takes the six months before it, whose prices are known.
var claimDay = time.Date(2025, time.December, 15, 9, 0, 0, 0, time.UTC)

const (
	// claimingPCNs are those of England, and staffOfPCN the engagements of each: some of their months are left for every round.
	claimingPCNs, staffOfPCN = 1250, 20
	claimYear                = "2025/26"
)

var claimMonths = []string{"2025-07", "2025-08", "2025-09", "2025-10", "2025-11", "2025-12"}

// staff fixes a year for every PCN and puts people to work for it.
func (s *suite) staff(b *testing.B) {
	b.Helper()
	terms, err := proto.Marshal(&arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "37.5", StartDate: "2025-04-01"})
	require.NoError(b, err)
	years := table{name: "years", columns: []string{
		"pcn_code", "financial_year", "version", "commissioner_code", "commissioner_name", "pcn_name", "location_code", "weighted_population", "weighted_load_id",
		"registered_patients", "region", "snapshot_id", "fixed_by", "fixed_at",
	}}
	sums := table{name: "entitlements", columns: []string{
		"pcn_code", "financial_year", "version", "pot", "from_month", "to_month", "amount_pence", "rate_id", "confidence", "refusal", "working",
	}}
	engagements := table{name: "engagements", columns: []string{
		"engagement_id", "pcn_code", "commissioner_code", "label", "folded_label", "role_code", "start_date", "end_date", "terms", "pseudonym", "recorded_by", "recorded_at", "changed_by", "changed_at",
	}}
	for p := range claimingPCNs {
		pcn := claimingPCN(p)
		years.rows = append(years.rows, []any{pcn, claimYear, int64(1), "QHM", "Body", "Network", "L", "40000", "", int64(40_000), "national", "s", "fixer", int64(1)})
		sums.rows = append(sums.rows, []any{pcn, claimYear, int64(1), "single", "2025-04", "2026-03", int64(1e11), "rate", int64(working.Official), []byte{}, []byte{}})
		for e := range staffOfPCN {
			id := fmt.Sprintf("%s-%d", pcn, e)
			engagements.rows = append(engagements.rows, []any{id, pcn, "QHM", id, id, "CC", "2025-04-01", "", terms, "", "m", int64(1), "m", int64(1)})
		}
	}
	for _, t := range []table{years, sums, engagements} {
		require.NoError(b, t.insert(b.Context(), s.arrsDB))
	}
}

func claimingPCN(n int) string { return fmt.Sprintf("U%05d", n) }

// claimed hands out claims, each of a month of an engagement that none before was of. Every client has PCNs of its own.
type claimed struct{ next [clients]int }

func (c *claimed) claim(client int) *arrsv1.SubmitClaimRequest {
	n := c.next[client]
	c.next[client]++
	const own = claimingPCNs / clients
	pcn, of := claimingPCN(client*own+n%own), n/own
	return &arrsv1.SubmitClaimRequest{RequestId: fmt.Sprintf("%d-%d", client, n), Claim: &arrsv1.ClaimEntry{
		PcnCode: pcn, CommissionerCode: "QHM", Month: claimMonths[of/staffOfPCN%len(claimMonths)], Declared: true,
		Lines: []*arrsv1.LineEntry{{EngagementId: fmt.Sprintf("%s-%d", pcn, of%staffOfPCN), SalaryPence: 250_000, EmployerNiPence: 25_000, EmployerPensionPence: 50_000}},
	}}
}

// BenchmarkClaims compares a claim put forward, by gRPC and by REST, with a bare transaction of the four statements that it cannot do
// without.
func BenchmarkClaims(b *testing.B) {
	var all closers
	b.Cleanup(all.close)
	var calls []named
	for _, store := range stores() {
		s := newSuite(b, store)
		s.staff(b)
		of, token := new(claimed), s.issuer.For(testkit.Preparer("QHM"))
		calls = append(calls,
			s.plainClaims(b, &all), s.claimsOverGRPC(b, &all, of, token), s.claimsOverREST(b, &all, of, token))
	}
	got := takeTurns(b, calls)
	b.ReportMetric(0, "ns/op")
	for _, store := range stores() {
		grpc, plain, rest := got["claim by gRPC on "+store], got["plain claim on "+store], got["claim by REST on "+store]
		results.ratio(b, goal{
			id: "P1", work: "claim by gRPC on " + store, unit: "/s", at: 0.25, least: true,
			note: fmt.Sprintf("p99 %s, plain %s (at most 5 times); 16 clients", value(grpc.p99(), "s"), value(plain.p99(), "s")),
		}, grpc.perSecond(), plain.perSecond())
		results.ratio(b, goal{
			id: "P2", work: "claim by REST on " + store, unit: "/s", at: 0.80, least: true, note: "against gRPC; p99 " + value(rest.p99(), "s"),
		}, rest.perSecond(), grpc.perSecond())
	}
}

// plainClaims takes a sum off a row and inserts a claim, a line and an event, in one transaction.
func (s *suite) plainClaims(b *testing.B, c *closers) named {
	b.Helper()
	db := openDB(b, c, s.store, fstest.MapFS{"00001_plain.sql": {Data: []byte(`-- +goose Up
CREATE TABLE plain_pots (pcn TEXT PRIMARY KEY, left_pence BIGINT NOT NULL);
CREATE TABLE plain_claims (claim TEXT PRIMARY KEY, pcn TEXT NOT NULL, month TEXT NOT NULL);
CREATE TABLE plain_lines (line TEXT PRIMARY KEY, claim TEXT NOT NULL, pence BIGINT NOT NULL);
CREATE TABLE plain_events (event TEXT PRIMARY KEY, body TEXT NOT NULL);`)}})
	pots := table{name: "plain_pots", columns: []string{"pcn", "left_pence"}}
	for p := range claimingPCNs {
		pots.rows = append(pots.rows, []any{claimingPCN(p), int64(1e11)})
	}
	require.NoError(b, pots.insert(b.Context(), db))
	of := new(claimed)
	return named{"plain claim on " + s.store, func(ctx context.Context, client int) error {
		req := of.claim(client)
		id, pcn := req.GetRequestId(), req.GetClaim().GetPcnCode()
		return db.Write(ctx, func(tx *sqldb.Tx) error {
			for _, statement := range []struct {
				text string
				args []any
			}{
				{`UPDATE plain_pots SET left_pence = left_pence - $1 WHERE pcn = $2 AND left_pence >= $1`, []any{int64(325_000), pcn}},
				{`INSERT INTO plain_claims (claim, pcn, month) VALUES ($1, $2, $3)`, []any{id, pcn, req.GetClaim().GetMonth()}},
				{`INSERT INTO plain_lines (line, claim, pence) VALUES ($1, $2, $3)`, []any{"line-" + id, id, int64(325_000)}},
				{`INSERT INTO plain_events (event, body) VALUES ($1, $2)`, []any{"event-" + id, pcn}},
			} {
				if _, err := tx.Exec(ctx, statement.text, statement.args...); err != nil {
					return err
				}
			}
			return nil
		})
	}}
}

func (s *suite) claimsOverGRPC(b *testing.B, c *closers, of *claimed, token string) named {
	b.Helper()
	stubs := make([]arrsv1.ArrsServiceClient, clients)
	for i := range stubs {
		conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(bearer(token)))
		require.NoError(b, err)
		c.add(func() { _ = conn.Close() })
		stubs[i] = arrsv1.NewArrsServiceClient(conn)
	}
	return named{"claim by gRPC on " + s.store, func(ctx context.Context, client int) error {
		got, err := stubs[client].SubmitClaim(ctx, of.claim(client))
		if err == nil && got.GetLines()[0].GetPayablePence() == 0 {
			return fmt.Errorf("nothing of claim %s is payable", got.GetClaimId())
		}
		return err
	}}
}

func (s *suite) claimsOverREST(b *testing.B, c *closers, of *claimed, token string) named {
	b.Helper()
	base := s.gateway(b, c)
	callers := make([]*http.Client, clients)
	for i := range callers {
		transport := &http.Transport{MaxIdleConnsPerHost: 1}
		c.add(transport.CloseIdleConnections)
		callers[i] = &http.Client{Transport: transport}
	}
	return named{"claim by REST on " + s.store, func(ctx context.Context, client int) error {
		body, err := protojson.Marshal(of.claim(client))
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/arrs/claims", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		answer, err := callers[client].Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		if err == nil && (answer.StatusCode != http.StatusOK || !strings.Contains(string(text), "payable_pence")) {
			return fmt.Errorf("%s: %s", answer.Status, text)
		}
		return err
	}}
}
