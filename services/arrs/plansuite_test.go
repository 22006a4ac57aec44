package arrs_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs"
)

// planSuite is arrs over a database whose years and claims a test writes itself.
type planSuite struct {
	arrs  arrsv1.ArrsServiceClient
	db    *sqldb.DB
	lines int
}

// eachPlan runs a test on both databases.
func eachPlan(t *testing.T, test func(t *testing.T, s *planSuite)) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		t.Helper()
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), arrs.Migrations()))
		service, err := arrs.New(t.Context(), arrs.Deps{DB: db, Logger: testkit.Logger(t), PersonKey: make([]byte, 32)})
		require.NoError(t, err)
		test(t, &planSuite{arrs: arrsv1.NewArrsServiceClient(testkit.Serve(t, service.Register)), db: db})
	})
}

func planAs(t *testing.T, p auth.Principal) context.Context {
	t.Helper()
	return testkit.As(t.Context(), p)
}

// director leads PCNs.
func director(pcns ...string) auth.Principal {
	return auth.Principal{Subject: "director@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_CLINICAL_DIRECTOR}, PCNs: pcns}
}

// regional reads the commissioners of a region.
func regional(commissioners ...string) auth.Principal {
	return auth.Principal{Subject: "region@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_REGIONAL_VIEWER}, Commissioners: commissioners}
}

func planReason(err error) string {
	f := rpc.FaultFromStatus(status.Convert(err))
	if f == nil {
		return ""
	}
	return f.Reason
}

func (s *planSuite) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), query, args...)
		return err
	}))
}

// year fixes a PCN's year with one pot; an amount below 0 leaves its sum unknown.
func (s *planSuite) year(t *testing.T, pcn, commissioner, year, pot string, pence int64) {
	t.Helper()
	s.exec(t, `INSERT INTO years (pcn_code, financial_year, version, commissioner_code, commissioner_name, pcn_name, location_code, weighted_population,
		weighted_load_id, registered_patients, region, snapshot_id, fixed_by, fixed_at)
		VALUES ($1, $2, 1, $3, $4, $5, $6, '50000', 'load', 51000, 'national', 'snap', 'test', 1)`, pcn, year, commissioner, "Body "+commissioner, "Network "+pcn, "L"+commissioner)
	refusal := []byte{}
	if pence < 0 {
		pence, refusal = 0, []byte(`{"reason":"SUM_UNKNOWN","message":"missing","meta":{"missing":"rate","remedy":"enter it"}}`)
	}
	s.exec(t, `INSERT INTO entitlements (pcn_code, financial_year, version, pot, from_month, to_month, amount_pence, rate_id, confidence, refusal, working)
		VALUES ($1, $2, 1, $3, $4, $5, $6, 'rate', 2, $7, $8)`, pcn, year, pot, year[:4]+"-04", fmt.Sprintf("20%s-03", year[5:]), pence, refusal, []byte{})
}

// post is an engagement that claims are made of.
type post struct {
	pcn, commissioner, label, role, perWeek, start, end string
}

func (s *planSuite) engage(t *testing.T, p post) {
	t.Helper()
	terms, err := proto.Marshal(&arrsv1.EngagementTerms{RoleCode: p.role, PerWeek: p.perWeek, StartDate: p.start, EndDate: p.end})
	require.NoError(t, err)
	s.exec(t, `INSERT INTO engagements (engagement_id, pcn_code, commissioner_code, label, folded_label, role_code, start_date, end_date, terms, pseudonym, recorded_by, recorded_at,
		changed_by, changed_at) VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, '', 'test', 1, 'test', 1)`,
		p.pcn+" "+p.label, p.pcn, p.commissioner, p.label, p.role, p.start, p.end, terms)
}

// claim writes a claim of one line: payable and, unless it waits, approved. Cut is what the year's sum had no room for.
func (s *planSuite) claim(t *testing.T, p post, month, year, pot string, pence, cut int64, approved bool) {
	t.Helper()
	s.lines++
	claim, line := fmt.Sprintf("c%04d", s.lines), fmt.Sprintf("l%04d", s.lines)
	state, approvedPence := 1, int64(0)
	submitted, moved := pence, int64(0)
	if approved {
		state, approvedPence, submitted, moved = 4, pence, 0, pence
	}
	s.exec(t, `INSERT INTO claims (claim_id, pcn_code, commissioner_code, month, financial_year, kind, state, line_count, notes, totals, submitted_by, submitted_at,
		decided_by) VALUES ($1, $2, $3, $4, $5, 1, $6, 1, '', $7, 'manager', 1, '')`, claim, p.pcn, p.commissioner, month, year, state, []byte{})
	assessed := &arrsv1.ClaimLine{LineId: line}
	if cut > 0 {
		assessed.Parts = []*arrsv1.Part{{Test: "YEAR_SUM", Reason: "OVER_YEAR_SUM", AmountPence: cut}}
	}
	assessment, err := proto.Marshal(assessed)
	require.NoError(t, err)
	s.exec(t, `INSERT INTO claim_lines (line_id, claim_id, revision, number, pcn_code, month, engagement_id, kind, live, role_code, person, pot, held, claimed_pence,
		payable_pence, approved_pence, terms, entry, assessment) VALUES ($1, $2, 1, 1, $3, $4, $5, 1, TRUE, $6, 'p', $7, $8, $9, $10, $11, $8, $8, $12)`,
		line, claim, p.pcn, month, p.pcn+" "+p.label, p.role, pot, []byte{}, pence+cut, pence, approvedPence, assessment)
	s.pot(t, p.pcn, year, pot, submitted, moved)
}

// pot adds to the running totals of a pot.
func (s *planSuite) pot(t *testing.T, pcn, year, pot string, submitted, approved int64) {
	t.Helper()
	s.exec(t, `INSERT INTO pots (pcn_code, financial_year, pot) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, pcn, year, pot)
	s.exec(t, `UPDATE pots SET submitted_pence = submitted_pence + $4, approved_pence = approved_pence + $5
		WHERE pcn_code = $1 AND financial_year = $2 AND pot = $3`, pcn, year, pot, submitted, approved)
}

// held returns what a pot was given up of and awarded.
func (s *planSuite) held(t *testing.T, pcn, year, pot string) (givenUp, awarded int64) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT COALESCE(SUM(given_up_pence), 0), COALESCE(SUM(awarded_pence), 0) FROM pots
			WHERE pcn_code = $1 AND financial_year = $2 AND pot = $3`, pcn, year, pot).Scan(&givenUp, &awarded)
	}))
	return givenUp, awarded
}

// stated returns what was stated of the pots, in order.
func (s *planSuite) stated(t *testing.T) (out []string) {
	t.Helper()
	for _, p := range publishedIn(t, s.db) {
		if event, ok := p.event.(*arrsv1.EntitlementsStated); ok {
			require.Equal(t, "entitlements/"+event.GetCommissionerCode(), p.aggregate)
			require.Empty(t, event.GetScheduleId())
			for _, e := range event.GetEntitlements() {
				out = append(out, fmt.Sprintf("%s %s %s %s %s %d", event.GetCommissionerCode(), event.GetCommissionerName(), event.GetMonth(), e.GetPcnCode(), e.GetPaymentCode(), e.GetAmountPence()))
			}
		}
	}
	return out
}

func (s *planSuite) count(t *testing.T, table string) (n int) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n)
	}))
	return n
}
