package arrs_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

// secrets are the pay figures of the run below, each of which stands nowhere else, and what else is one person's own.
var (
	secretPay   = []int64{301_731, 41_773, 52_387, 277_913, 3_999_983, 266_801, 233_969, 287_117, 255_203, 244_301}
	secretTexts = []string{"zz-9876543", "ZZ-9876543", "it is about her maternity pay", "back from maternity pay", "her pay was halved"}
)

// pay counts the secret amounts off.
func pay(i int) int64 { return secretPay[i] }

// TestClaims_KeepPayToThemselves goes through every call that takes or gives pay, those that are refused among them, and then looks for it
// wherever the suite tells others what it does.
func TestClaims_KeepPayToThemselves(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		told := s.privateRun(t)

		var out bytes.Buffer
		out.WriteString(told)
		out.WriteString(s.logged.String())
		for _, span := range s.spans.GetSpans() {
			fmt.Fprintln(&out, span.Name, span.Attributes, span.Events, span.Status, span.Links, span.SpanContext.TraceState())
		}
		var metrics metricdata.ResourceMetrics
		require.NoError(t, s.metrics.Collect(t.Context(), &metrics))
		require.NotEmpty(t, metrics.ScopeMetrics)
		fmt.Fprintf(&out, "%+v\n", metrics)
		for _, table := range []string{"outbox", "audit", "idempotency"} {
			n, text := s.dump(t, table)
			require.Positive(t, n, table)
			out.WriteString(text)
		}
		require.Greater(t, len(s.spans.GetSpans()), 10)
		require.Contains(t, out.String(), "call refused", "the log holds the refusals")
		require.Empty(t, leaks(out.String()))
		for _, table := range []string{"engagements", "engagement_terms", "claim_lines", "claims", "claim_files"} {
			_, text := s.dump(t, table)
			require.NotContains(t, strings.ToUpper(text), "ZZ-9876543", "%s: the reference is kept nowhere", table)
		}
	})
}

// leaks finds what is secret in a text. A figure counts where it stands alone: identifiers and times have all digits somewhere.
func leaks(text string) (found []string) {
	for _, amount := range secretPay {
		for _, written := range []string{strconv.FormatInt(amount, 10), money.Pence(amount).Plain(), strings.TrimPrefix(money.Pence(amount).String(), "£")} {
			if regexp.MustCompile(`(^|[^0-9A-Za-z.])` + regexp.QuoteMeta(written) + `([^0-9A-Za-z]|$)`).MatchString(text) {
				found = append(found, written)
			}
		}
		if strings.Contains(text, string(protowire.AppendVarint(nil, uint64(amount)))) {
			found = append(found, fmt.Sprint(amount, " in a message"))
		}
	}
	for _, secret := range secretTexts {
		if strings.Contains(text, secret) {
			found = append(found, secret)
		}
	}
	return found
}

// privateRun makes the calls, and returns all that refusals said.
func (s *claimSuite) privateRun(t *testing.T) string {
	t.Helper()
	var told strings.Builder
	refused := func(err error) {
		t.Helper()
		require.Error(t, err)
		fmt.Fprintln(&told, err, status.Convert(err).Details())
	}
	referenced := func(r *arrsv1.RecordEngagementRequest) { r.PersonReference = " zz-9876543 " }
	first := s.engage(t, "U1", "CC 1", referenced)
	s.engage(t, "U1", "CC 2", referenced)
	_, err := s.arrs.RecordEngagement(s.as(t, network("m", "U1")), &arrsv1.RecordEngagementRequest{
		RequestId: s.next(), PcnCode: "U1", CommissionerCode: "15N", Label: "CC 1", Terms: first.GetTerms(), PersonReference: "zz-9876543",
	})
	refused(err)
	change := &arrsv1.ChangeEngagementRequest{
		RequestId: s.next(), EngagementId: first.GetEngagementId(), Etag: first.GetEtag(), Terms: first.GetTerms(), PersonReference: "ZZ-9876543",
	}
	_, err = s.arrs.ChangeEngagement(s.as(t, network("m", "U1")), change)
	require.NoError(t, err)
	change.PersonReference += "x"
	_, err = s.arrs.ChangeEngagement(s.as(t, network("m", "U1")), change)
	refused(err)

	in := entry("U1", "2025-12", &arrsv1.LineEntry{Label: "CC 1", SalaryPence: pay(0), EmployerNiPence: pay(1), EmployerPensionPence: pay(2)}, costing("CC 2", pay(3)))
	in.Notes = secretTexts[3]
	_, err = s.arrs.CheckClaim(s.as(t, testkit.Preparer("15N")), &arrsv1.CheckClaimRequest{Claim: in})
	require.NoError(t, err)
	submit := &arrsv1.SubmitClaimRequest{RequestId: s.next(), Claim: in}
	claim, err := s.arrs.SubmitClaim(s.as(t, network("m", "U1")), submit)
	require.NoError(t, err)
	_, err = s.arrs.SubmitClaim(s.as(t, network("m", "U1")), submit)
	require.NoError(t, err)
	_, err = s.arrs.GetClaim(s.as(t, network("m", "U2")), &arrsv1.GetClaimRequest{ClaimId: claim.GetClaimId()})
	refused(err)
	for _, bad := range []*arrsv1.LineEntry{costing("CC 1", pay(4)), costing("CC 1", -pay(4)), {Label: "CC 1", FeesPence: pay(4)}, {Label: "CC 1", EmployerNiPence: pay(4)}, costing("X", pay(4))} {
		_, err = s.arrs.SubmitClaim(s.as(t, network("m", "U1")), &arrsv1.SubmitClaimRequest{RequestId: s.next(), Claim: entry("U1", "2025-11", bad)})
		refused(err)
	}
	submit.Claim.Lines[0].SalaryPence = pay(5)
	_, err = s.arrs.SubmitClaim(s.as(t, network("m", "U1")), submit)
	refused(err)
	s.privateDecisions(t, claim, refused)
	s.privateImport(t, refused)
	return told.String()
}

func (s *claimSuite) privateDecisions(t *testing.T, claim *arrsv1.Claim, refused func(error)) {
	t.Helper()
	claim, err := s.arrs.QueryClaim(s.as(t, testkit.Preparer("15N")), &arrsv1.QueryClaimRequest{
		RequestId: s.next(), ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Query: secretTexts[2],
	})
	require.NoError(t, err)
	claim, err = s.amend(t, claim, entry("U1", "2025-12", costing("CC 1", pay(5))))
	require.NoError(t, err)
	_, err = s.amend(t, claim, entry("U1", "2025-12", costing("CC 1", pay(4))))
	refused(err)
	line := claim.GetLines()[0].GetLineId()
	_, err = s.decide(t, claim, true, "x", &arrsv1.LineDecision{LineId: line, ApprovedPence: pay(4), Reason: "x"})
	refused(err)
	claim, err = s.decide(t, claim, true, secretTexts[4], &arrsv1.LineDecision{LineId: line, ApprovedPence: pay(6), Reason: secretTexts[4]})
	require.NoError(t, err)
	_, err = s.decide(t, claim, true, "again", &arrsv1.LineDecision{LineId: line, ApprovedPence: pay(6), Reason: "x"})
	refused(err)
	_, err = s.withdraw(t, s.submit(t, entry("U1", "2025-11", costing("CC 1", pay(7)))))
	require.NoError(t, err)
}

func (s *claimSuite) privateImport(t *testing.T, refused func(error)) {
	t.Helper()
	good := claimsHeader + "U1,2025-10,CC 1,,," + money.Pence(pay(8)).Plain() + ",0,0,,\n"
	imported := func(by auth.Principal, id, file string, check bool) error {
		_, err := s.importFile(t, by, &arrsv1.ClaimsHeader{RequestId: id, Declared: true, CheckOnly: check}, file)
		return err
	}
	require.NoError(t, imported(testkit.Preparer("15N"), "f1", good, true))
	require.NoError(t, imported(testkit.Preparer("15N"), "f1", good, false))
	require.NoError(t, imported(testkit.Preparer("15N"), "f2", good, false))
	amount := money.Pence(pay(9)).Plain()
	for _, row := range []string{
		"U1,2025-09,CC 1,,,-" + amount, "U1,2025-09,CC 1,,," + amount + "5,0,0,,", "U1,2025-09,CC 1,,,9" + amount + ",0,0,,", "U1,2025-09,X,,," + amount + ",0,0,,",
		"U1,2025-09,\"CC 1,,," + amount + ",0,0,,",
	} {
		refused(imported(testkit.Preparer("15N"), s.next(), claimsHeader+row+"\n", false))
	}
	refused(imported(network("m", "U2"), s.next(), good, false))
}

// dump returns how many rows a table holds, and all of them as text.
func (s *claimSuite) dump(t *testing.T, table string) (n int, text string) {
	t.Helper()
	var out strings.Builder
	require.NoError(t, s.db.Read(context.Background(), func(q sqldb.Querier) error {
		rows, err := q.Query(context.Background(), `SELECT * FROM `+table)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				return err
			}
			n++
			for i, value := range values {
				if body, ok := value.([]byte); ok {
					value = string(body)
				}
				fmt.Fprintln(&out, columns[i], value)
			}
		}
		return rows.Err()
	}))
	return n, out.String()
}
