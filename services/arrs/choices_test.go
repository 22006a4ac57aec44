package arrs_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

func TestSetSetting_TakesValuesOfTheName(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		set := func(commissioner, name, value, from string) error {
			_, err := s.arrs.SetSetting(s.as(t, testkit.Approver("*")), &arrsv1.SetSettingRequest{
				RequestId: s.next(), CommissionerCode: commissioner, Name: name, Value: value, FromMonth: from, Reason: "agreed",
			})
			return err
		}
		for _, ok := range [][2]string{{"ROUNDING", "DOWN"}, {"PART_MONTH", "WHOLE_MONTH"}, {"WTE_CEILING", "1.2"}, {"RETENTION_MONTHS", "24"}, {"RETENTION_MONTHS", "1200"}} {
			require.NoError(t, set("QJK", ok[0], ok[1], "2025-04"), ok)
		}
		for _, bad := range [][2]string{
			{"ROUNDING", "UP"},
			{"WTE_CEILING", "0"},
			{"RETENTION_MONTHS", "23"},
			{"RETENTION_MONTHS", "1201"},
			{"RETENTION_MONTHS", "84.0"},
			{"RETENTION_MONTHS", "+84"},
			{"X", "1"},
			{"CLAIM_ORDER", "CLAIM_MONTH"},
		} {
			require.Equal(t, "SETTING_INVALID", reason(set("QJK", bad[0], bad[1], "2025-04")), bad)
		}
		require.Equal(t, "MONTH_MALFORMED", reason(set("QJK", "ROUNDING", "DOWN", "2025-13")))
		require.NoError(t, set("", "PART_MONTH", "WHOLE_MONTH", "2025-04"))
		require.NoError(t, set("QT6", "ROUNDING", "HALF_UP", "2025-04"))
		list, err := s.arrs.ListSettings(s.as(t, testkit.Auditor("QJK")), &arrsv1.ListSettingsRequest{PageSize: 4})
		require.NoError(t, err)
		require.Len(t, list.GetSettings(), 4)
		require.Len(t, list.GetDefaults(), 4)
		require.Equal(t, "PART_MONTH", list.GetDefaults()[0].GetName())
		require.Equal(t, "CALENDAR_DAYS or WHOLE_MONTH", list.GetDefaults()[0].GetTakes())
		rest, err := s.arrs.ListSettings(s.as(t, testkit.Auditor("QJK")), &arrsv1.ListSettingsRequest{PageSize: 4, PageToken: list.GetNextPageToken()})
		require.NoError(t, err)
		require.Len(t, rest.GetSettings(), 2, "its own five, and one of England")
		require.Empty(t, rest.GetNextPageToken())
		_, err = s.arrs.ListSettings(s.as(t, testkit.Auditor("QJK")), &arrsv1.ListSettingsRequest{CommissionerCode: "QT6"})
		require.Equal(t, codes.NotFound, status.Code(err))
		require.Equal(t, 7, s.count(t, `audit`))
	})
}

// engaged puts a person to work for a PCN, past the service.
func (s *suite) engaged(t *testing.T, id, pcn, commissioner, role string) {
	t.Helper()
	s.exec(t, `INSERT INTO engagements (engagement_id, pcn_code, commissioner_code, label, folded_label, role_code, start_date, end_date, terms, pseudonym, recorded_by, recorded_at,
		changed_by, changed_at) VALUES ($1, $2, $3, $1, $1, $4, '2024-04-01', '', $5, '', 'm', 1, 'm', 1)`, id, pcn, commissioner, role, []byte{})
}

func decision(change func(*arrsv1.RecordDecisionRequest)) *arrsv1.RecordDecisionRequest {
	out := &arrsv1.RecordDecisionRequest{
		CommissionerCode: "QJK", Kind: arrsv1.DecisionKind_BASELINE_WTE, PcnCode: "U1", RoleCode: "CP", Value: "1.5", FromMonth: "2025-04", Reason: "agreed",
	}
	change(out)
	return out
}

func TestRecordDecision_TakesWhatTheKindSpeaksOf(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000), snapshotPCN("U2", "QT6", "QT6", 30000))
		s.engaged(t, "e1", "U1", "QJK", "GP")
		s.engaged(t, "e2", "U2", "QT6", "GP")
		type request = arrsv1.RecordDecisionRequest
		for name, c := range map[string]struct {
			change func(*request)
			want   string
		}{
			"a baseline":                 {func(*request) {}, ""},
			"the end of one":             {func(r *request) { r.Value = "" }, ""},
			"a baseline of no role":      {func(r *request) { r.RoleCode = "" }, "DECISION_INVALID"},
			"a baseline of all PCNs":     {func(r *request) { r.PcnCode = "" }, "DECISION_INVALID"},
			"no baseline of any PCN":     {func(r *request) { r.PcnCode, r.Value = "", "0" }, ""},
			"a baseline of a person":     {func(r *request) { r.EngagementId = "e1" }, "DECISION_INVALID"},
			"a baseline of a later role": {func(r *request) { r.RoleCode = "GP" }, "DECISION_INVALID"},
			"a baseline below nothing":   {func(r *request) { r.Value = "-1" }, "DECISION_INVALID"},
			"an unknown role":            {func(r *request) { r.RoleCode = "X" }, "ROLE_UNKNOWN"},
			"months out of order":        {func(r *request) { r.ToMonth = "2025-03" }, "MONTH_MALFORMED"},
			"a thirteenth month":         {func(r *request) { r.FromMonth = "2025-13" }, "MONTH_MALFORMED"},
			"a PCN of another":           {func(r *request) { r.PcnCode = "U2" }, "PCN_NOT_FOUND"},
			"a region":                   {func(r *request) { r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_PCN_REGION, "", "inner_london" }, ""},
			"another region":             {func(r *request) { r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_PCN_REGION, "", "england" }, "DECISION_INVALID"},
			"employed staff":             {func(r *request) { r.Kind, r.RoleCode = arrsv1.DecisionKind_EMPLOYED_WTE, "GP" }, ""},
			"a share":                    {func(r *request) { r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_SHARE_AGREED, "", "0.75" }, ""},
			"more than a share":          {func(r *request) { r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_SHARE_AGREED, "", "1.01" }, "DECISION_INVALID"},
			"a day": {func(r *request) {
				r.Kind, r.PcnCode, r.RoleCode, r.Value = arrsv1.DecisionKind_TRAINING_TEST_DAY, "", "", "2024-10-01"
			}, ""},
			"no day": {func(r *request) {
				r.Kind, r.PcnCode, r.RoleCode, r.Value = arrsv1.DecisionKind_TRAINING_TEST_DAY, "", "", "2024-02-30"
			}, "DECISION_INVALID"},
			"a role agreed": {func(r *request) {
				r.Kind, r.PcnCode, r.RoleCode, r.Value = arrsv1.DecisionKind_ROLE_AGREED, "", "OTHER_DPC", ""
			}, ""},
			"a role no longer agreed": {func(r *request) {
				r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_ROLE_AGREED, "OTHER_DPC", "withdrawn"
			}, ""},
			"a role agreed by halves": {func(r *request) { r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_ROLE_AGREED, "OTHER_DPC", "0.5" }, "DECISION_INVALID"},
			"any role agreed":         {func(r *request) { r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_ROLE_AGREED, "", "" }, "DECISION_INVALID"},
			"more than a ceiling": {func(r *request) {
				r.Kind, r.RoleCode, r.EngagementId, r.Value = arrsv1.DecisionKind_OVER_CEILING_AGREED, "", "e1", "1.2"
			}, ""},
			"anybody above the ceiling": {func(r *request) { r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_OVER_CEILING_AGREED, "", "1.2" }, "DECISION_INVALID"},
			"a person elsewhere": {func(r *request) {
				r.Kind, r.PcnCode, r.RoleCode, r.EngagementId, r.Value = arrsv1.DecisionKind_SUBSTANTIVE_GP_AGREED, "", "", "e2", ""
			}, "ENGAGEMENT_NOT_FOUND"},
			"a person of another PCN": {func(r *request) {
				r.Kind, r.RoleCode, r.EngagementId, r.Value = arrsv1.DecisionKind_SUBSTANTIVE_GP_AGREED, "", "e2", ""
			}, "ENGAGEMENT_NOT_FOUND"},
			"a person nobody knows": {func(r *request) {
				r.Kind, r.RoleCode, r.EngagementId, r.Value = arrsv1.DecisionKind_SUBSTANTIVE_GP_AGREED, "", "e3", ""
			}, "ENGAGEMENT_NOT_FOUND"},
			"the provider's agreement":    {func(r *request) { r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_PROVIDER_AGREED, "", "" }, ""},
			"a transfer of nothing named": {func(r *request) { r.Kind, r.RoleCode, r.Value = arrsv1.DecisionKind_TRANSFER_AGREED, "", "" }, "DECISION_INVALID"},
		} {
			req := decision(c.change)
			req.RequestId = s.next()
			_, err := s.arrs.RecordDecision(s.as(t, testkit.Preparer("QJK")), req)
			if c.want == "" {
				require.NoError(t, err, name)
				continue
			}
			require.Equal(t, c.want, reason(err), name)
		}
		require.Equal(t, s.count(t, `decisions`), s.count(t, `audit`))
	})
}

func TestRecordDecision_AnswersOnceForARequestID(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000))
		s.engaged(t, "e1", "U1", "QJK", "GP")
		req := decision(func(r *arrsv1.RecordDecisionRequest) {
			r.RequestId, r.Kind, r.PcnCode, r.RoleCode, r.EngagementId, r.Value = "d", arrsv1.DecisionKind_SUBSTANTIVE_GP_AGREED, "", "", "e1", ""
		})
		first, err := s.arrs.RecordDecision(s.as(t, testkit.Approver("QJK")), req)
		require.NoError(t, err)
		require.Equal(t, "U1", first.GetPcnCode(), "that of the engagement")
		s.register.set()
		again, err := s.arrs.RecordDecision(s.as(t, testkit.Approver("QJK")), req)
		require.NoError(t, err, "though the register no longer shows the PCN")
		require.True(t, proto.Equal(first, again))
		require.Equal(t, 1, s.count(t, `decisions`))
	})
}

func TestListDecisions_ShowsWhatTheCallerMaySee(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000), snapshotPCN("U2", "QJK", "QJK", 30000), snapshotPCN("U3", "QT6", "QT6", 20000))
		for i, of := range [][2]string{{"QJK", "U1"}, {"QJK", "U2"}, {"QT6", "U3"}, {"QJK", "U1"}} {
			_, err := s.arrs.RecordDecision(s.as(t, testkit.Preparer("*")), decision(func(r *arrsv1.RecordDecisionRequest) {
				r.RequestId, r.CommissionerCode, r.PcnCode, r.Value = s.next(), of[0], of[1], strconv.Itoa(i)
			}))
			require.NoError(t, err)
		}
		values := func(by auth.Principal, req *arrsv1.ListDecisionsRequest) (out []string) {
			list, err := s.arrs.ListDecisions(s.as(t, by), req)
			require.NoError(t, err)
			for _, d := range list.GetDecisions() {
				out = append(out, d.GetValue())
			}
			return out
		}
		require.Equal(t, []string{"3", "2", "1", "0"}, values(testkit.Auditor("*"), &arrsv1.ListDecisionsRequest{}))
		require.Equal(t, []string{"3", "1", "0"}, values(testkit.Auditor("QJK"), &arrsv1.ListDecisionsRequest{}))
		require.Equal(t, []string{"2"}, values(testkit.Auditor("*"), &arrsv1.ListDecisionsRequest{CommissionerCode: "QT6"}))
		require.Equal(t, []string{"3", "0"}, values(testkit.Auditor("QJK"), &arrsv1.ListDecisionsRequest{PcnCode: "U1"}))
		require.Equal(t, []string{"1"}, values(testkit.PCNManager("U2"), &arrsv1.ListDecisionsRequest{}))
		require.Empty(t, values(testkit.PCNManager("U2"), &arrsv1.ListDecisionsRequest{PcnCode: "U1"}))
		mixed := testkit.Auditor("QT6")
		mixed.Roles, mixed.PCNs = append(mixed.Roles, testkit.PCNManager("U2").Roles...), []string{"U2"}
		require.Equal(t, []string{"2", "1"}, values(mixed, &arrsv1.ListDecisionsRequest{}), "who holds either sees them")
		require.Equal(t, []string{"2"}, values(mixed, &arrsv1.ListDecisionsRequest{CommissionerCode: "QT6"}))
		_, err := s.arrs.ListDecisions(s.as(t, testkit.PCNManager("U2")), &arrsv1.ListDecisionsRequest{CommissionerCode: "QJK"})
		require.Equal(t, codes.NotFound, status.Code(err))
		page, err := s.arrs.ListDecisions(s.as(t, testkit.Auditor("*")), &arrsv1.ListDecisionsRequest{PageSize: 3})
		require.NoError(t, err)
		rest, err := s.arrs.ListDecisions(s.as(t, testkit.Auditor("*")), &arrsv1.ListDecisionsRequest{PageSize: 3, PageToken: page.GetNextPageToken()})
		require.NoError(t, err)
		require.Len(t, rest.GetDecisions(), 1)
	})
}

// TestRecordDecision_IsOfWhenItHeldTheLocks holds that a decision which waits for a claim under way is later than the claim, so that its
// approval notices it.
func TestRecordDecision_IsOfWhenItHeldTheLocks(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.register.set(closePCN("U1", "15N", ""))
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		for kind, pcn := range map[arrsv1.DecisionKind]string{arrsv1.DecisionKind_EMPLOYED_WTE: "U1", arrsv1.DecisionKind_BASELINE_WTE: ""} {
			done := make(chan error, 1)
			before := s.number(t, `SELECT COUNT(*) FROM decisions`)
			recording := func(ctx context.Context) {
				_, err := s.arrs.RecordDecision(ctx, &arrsv1.RecordDecisionRequest{
					RequestId: s.next(), CommissionerCode: "15N", Kind: kind, PcnCode: pcn, RoleCode: "CP", Value: "0", FromMonth: "2025-11", Reason: "counted",
				})
				done <- err
			}
			ctx := s.as(t, testkit.Preparer("15N"))
			var released time.Time
			require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error { // as a claim that is put forward does
				if err := tx.Lock(t.Context(), "pcn/U1"); err != nil {
					return err
				}
				go recording(ctx)
				if s.db.Dialect() == sqldb.Postgres {
					require.Eventually(t, func() bool {
						return s.number(t, `SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`) > 0
					}, 10*time.Second, 10*time.Millisecond)
				}
				s.clock.Advance(time.Minute)
				released = s.clock.Now()
				return nil
			}))
			require.NoError(t, <-done)
			require.Equal(t, before+1, s.number(t, `SELECT COUNT(*) FROM decisions`))
			require.GreaterOrEqual(t, s.number(t, `SELECT MAX(decided_at) FROM decisions`), sqldb.Micros(released), kind)
		}
	})
}
