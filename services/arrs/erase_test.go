package arrs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

func TestErase_LeavesTheTotalsOfOldClaims(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		paid := entry("U1", "2025-12", costing("CC 1", 2_000_00))
		paid.Notes = "two weeks' leave"
		old := s.approved(t, paid)
		withdrawn, err := s.withdraw(t, s.submit(t, entry("U1", "2025-11", costing("CC 1", 2_000_00))))
		require.NoError(t, err)
		waits := s.submit(t, entry("U1", "2025-11", costing("CC 1", 2_000_00)))
		erase := func(want int) {
			t.Helper()
			n, err := s.service.Erase(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		erase(0)
		s.clock.Advance(7 * 366 * 24 * time.Hour)
		recent := s.approvedLate(t, waits)
		erase(1) // withdrawn; of the other approved money waits for a close
		_, err = s.db.Exec(t.Context(), `UPDATE claim_lines SET schedule_id = 'closed'`)
		require.NoError(t, err)
		erase(1)
		erase(0)
		got, err := s.arrs.GetClaim(s.as(t, testkit.Auditor("15N")), &arrsv1.GetClaimRequest{ClaimId: old.GetClaimId()})
		require.NoError(t, err)
		require.True(t, got.GetErased())
		require.Equal(t, int64(2_000_00), got.GetTotals()[0].GetApprovedPence())
		require.Empty(t, got.GetNotes())
		require.Len(t, got.GetLines(), 1)
		require.Zero(t, got.GetLines()[0].GetClaimedPence()+got.GetLines()[0].GetApprovedPence())
		require.Nil(t, got.GetLines()[0].GetWorking())
		require.Empty(t, got.GetLines()[0].GetEntry().GetLabel())
		require.Zero(t, s.number(t, `SELECT COUNT(*) FROM claim_lines WHERE claim_id IN ($1, $2) AND (LENGTH(entry) + LENGTH(assessment) + LENGTH(held) > 0 OR person <> '')`,
			old.GetClaimId(), withdrawn.GetClaimId()))
		kept, err := s.arrs.GetClaim(s.as(t, testkit.Auditor("15N")), &arrsv1.GetClaimRequest{ClaimId: recent.GetClaimId()})
		require.NoError(t, err)
		require.False(t, kept.GetErased())
		require.Equal(t, int64(2_000_00), kept.GetLines()[0].GetApprovedPence())

		again, err := s.importFile(t, testkit.Preparer("15N"), &arrsv1.ClaimsHeader{RequestId: "late", Declared: true}, claimsHeader+"U1,2025-12,CC 1,,,1000,0,0,,\n")
		require.NoError(t, err, fields(err))
		require.Equal(t, "ALREADY_CLAIMED", again.GetClaims()[0].GetLines()[0].GetParts()[0].GetReason(), "what was paid once is never paid again")

		s.set(t, rules.SettingRetentionMonths, "24")
		s.clock.Advance(3 * 366 * 24 * time.Hour)
		erase(1)
	})
}

// approvedLate has a claim approved now.
func (s *claimSuite) approvedLate(t *testing.T, claim *arrsv1.Claim) *arrsv1.Claim {
	t.Helper()
	out, err := s.decide(t, claim, true, "")
	require.NoError(t, err)
	return out
}
