package arrs_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

const claimsHeader = "pcn_code,month,label,per_week,left_date,salary,employer_ni,employer_pension,fees,notes\n"

func TestImportClaims_MakesAClaimOfEachPCNAndMonth(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		for _, pcn := range []string{"U1", "U2"} {
			s.fix(t, pcn, "15N", 2025, 1, single(5_000_00))
			s.engage(t, pcn, "CC 1")
		}
		file := "\uFEFF" + claimsHeader +
			"U1,2025-12,CC 1,,,£2000.50,200,300,,first\nU2,2025-12,CC 1,,2025-12-10,1000,0,0,0,\nU1,2025-11,CC 1,37.5,,3000,0,0,,\nU1,2025-12,CC 1,,,1,0,0,,second\n"
		header := &arrsv1.ClaimsHeader{RequestId: "f1", CheckOnly: true}
		checked, err := s.importFile(t, testkit.Preparer("15N"), header, file)
		require.NoError(t, err, fields(err))
		require.Zero(t, s.number(t, `SELECT COUNT(*) FROM claims`)+s.number(t, `SELECT COUNT(*) FROM outbox`)+s.number(t, `SELECT COUNT(*) FROM idempotency WHERE method LIKE '%ImportClaims'`))
		require.Empty(t, checked.GetClaims()[0].GetClaimId())

		header.CheckOnly = false
		_, err = s.importFile(t, testkit.Preparer("15N"), header, file)
		require.Contains(t, fields(err), "line 2, declared NOT_DECLARED")
		header.Declared = true
		out, err := s.importFile(t, testkit.Preparer("15N"), header, file)
		require.NoError(t, err, fields(err))
		require.Equal(t, int32(4), out.GetRows())
		require.Len(t, out.GetClaims(), 3)
		december := out.GetClaims()[0]
		require.Equal(t, "first; second", december.GetNotes())
		require.Equal(t, int64(2_500_50), december.GetLines()[0].GetPayablePence())
		require.Equal(t, "ALREADY_CLAIMED", december.GetLines()[1].GetParts()[0].GetReason())
		require.Equal(t, int64(2_499_50), out.GetClaims()[2].GetLines()[0].GetPayablePence(), "what the first of them left of the sum")
		for i, claim := range checked.GetClaims() {
			require.Equal(t, out.GetClaims()[i].GetTotals()[0].GetPayablePence(), claim.GetTotals()[0].GetPayablePence(), "as it was checked")
		}

		again, err := s.importFile(t, testkit.Preparer("15N"), header, file)
		require.NoError(t, err)
		require.Equal(t, december.GetClaimId(), again.GetClaims()[0].GetClaimId())
		require.False(t, again.GetAlreadyImported(), "the answer of the request")
		header.RequestId = "f2"
		again, err = s.importFile(t, testkit.Preparer("15N"), header, file)
		require.NoError(t, err)
		require.True(t, again.GetAlreadyImported())
		require.Len(t, again.GetClaims(), 3)
		require.Equal(t, int64(3), s.number(t, `SELECT COUNT(*) FROM claims`))

		rejected, err := s.decide(t, out.GetClaims()[0], false, "entered twice")
		require.NoError(t, err)
		for _, claim := range out.GetClaims()[1:] {
			_, err := s.arrs.WithdrawClaim(s.as(t, testkit.Preparer("15N")), &arrsv1.WithdrawClaimRequest{
				RequestId: s.next(), ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Reason: "the wrong file",
			})
			require.NoError(t, err, "who entered a claim may withdraw it")
		}
		header.RequestId = "f3"
		anew, err := s.importFile(t, testkit.Preparer("15N"), header, file)
		require.NoError(t, err)
		require.False(t, anew.GetAlreadyImported(), "none of its claims stands")
		require.NotEqual(t, rejected.GetClaimId(), anew.GetClaims()[0].GetClaimId())
		require.Equal(t, int64(6), s.number(t, `SELECT COUNT(*) FROM claims`))
		_, err = s.importFile(t, testkit.Preparer("15N"), header, file+"U2,2025-11,CC 1,,,1,0,0,,\n")
		require.Equal(t, "REQUEST_ID_REUSED", claimReason(err))
	})
}

func TestImportClaims_NamesEveryBadRow(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(5_000_00))
		s.engage(t, "U1", "CC 1")
		header := &arrsv1.ClaimsHeader{RequestId: "f1", Declared: true}
		file := claimsHeader +
			"U1,2025-13,CC 1,x,2025-02-30,3719.535,1,1,,\n" + // line 2
			"U-1,2025-12,,-1,,-3719.53,,1e3,,\n" +
			"U1,2025-12,NOBODY,,,1,0,0,,\n" +
			"U1,2025-12,CC 1,41,,20000,0,0,1,\n" +
			"U1,2025-12,CC 1\n" +
			"U9,2025-12,CC 1,,,3719.53,0,0,,\n" +
			"U1,2026-04,CC 1,,,3719.53,0,0,,\n" +
			"U1,3719.53,CC 1,3719.54,\"3,719.53\",0,0,0,,\n" + // columns have shifted
			"U1,2025-12,3719.53,371.95,,1,0,0,,\n"
		_, err := s.importFile(t, testkit.Preparer("15N"), header, file)
		require.Equal(t, "FILE_HAS_BAD_ROWS", claimReason(err))
		told := fields(err)
		for _, want := range []string{
			`line 2, month FILE_HAS_BAD_ROWS "2025-13"`, `line 2, per_week FILE_HAS_BAD_ROWS "x"`, `line 2, left_date FILE_HAS_BAD_ROWS "2025-02-30"`, "line 2, salary FILE_HAS_BAD_ROWS",
			`line 3, pcn_code FILE_HAS_BAD_ROWS "U-1"`, "line 3, label", "line 3, per_week", "line 3, salary", "line 3, employer_ni", "line 3, employer_pension",
			`line 4, label ENGAGEMENT_NOT_FOUND U1 has no engagement "NOBODY"`, "line 5, per_week VALUE_OUT_OF_RANGE", "line 5, salary VALUE_OUT_OF_RANGE",
			"line 5, fees VALUE_OUT_OF_RANGE", "line 6 FILE_HAS_BAD_ROWS has 3 values", "line 7, pcn_code YEAR_NOT_FIXED", "line 8, pcn_code YEAR_NOT_FIXED",
		} {
			require.Contains(t, told, want)
		}
		require.Contains(t, status.Convert(err).Message(), "20 values")
		for _, pay := range []string{"3719", "3,719", "371.95"} {
			require.NotContains(t, told+err.Error(), pay)
		}
		require.Zero(t, s.number(t, `SELECT COUNT(*) FROM claims`))

		many := claimsHeader + strings.Repeat("U1,2025-12,NOBODY,,,1,0,0,,\n", 300)
		_, err = s.importFile(t, testkit.Preparer("15N"), header, many)
		require.Contains(t, status.Convert(err).Message(), "300 values")
		require.Len(t, strings.Split(fields(err), "\n"), 50)
		_, err = s.importFile(t, testkit.Preparer("15N"), header, claimsHeader+strings.Repeat("U1,2025-12,CC 1,,,1,0,0,,\n", 501))
		require.Contains(t, fields(err), "line 502 FILE_HAS_BAD_ROWS")
		for name, content := range map[string]string{
			"nothing": "", "no row": claimsHeader, "not text": "\xff\xfe", "no month": "pcn_code,label\n", "twice": "month," + claimsHeader, "binary": claimsHeader + "\x00",
		} {
			_, err := s.importFile(t, testkit.Preparer("15N"), header, content)
			require.Equal(t, "FILE_MALFORMED", claimReason(err), name)
		}
		_, err = s.importFile(t, testkit.Preparer("15N"), header, claimsHeader+"U1,2025-12,\"CC 1,,,3719.53,0,0,,\n")
		require.Contains(t, fields(err), "line 2 FILE_HAS_BAD_ROWS is no row of a CSV file")
		header.Sha256 = strings.Repeat("0", 64)
		_, err = s.importFile(t, testkit.Preparer("15N"), header, claimsHeader)
		require.Equal(t, "FILE_MALFORMED", claimReason(err))
		_, err = s.importFile(t, testkit.Preparer("15N"), &arrsv1.ClaimsHeader{Declared: true}, claimsHeader)
		require.Equal(t, "REQUEST_ID_REQUIRED", claimReason(err))
	})
}

func TestImportClaims_IsForThePCNAndItsCommissioner(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		for _, pcn := range []string{"U1", "U2"} {
			s.fix(t, pcn, "15N", 2025, 1, single(50_000_00))
			s.engage(t, pcn, "CC 1")
		}
		one, both := claimsHeader+"U1,2025-12,CC 1,,,1000,0,0,,\n", claimsHeader+"U1,2025-12,CC 1,,,1000,0,0,,\nU2,2025-12,CC 1,,,1000,0,0,,\n"
		header := &arrsv1.ClaimsHeader{RequestId: "f1", Declared: true}
		_, err := s.importFile(t, network("m", "U1"), header, both)
		require.Contains(t, fields(err), "line 3, pcn_code PCN_NOT_YOURS")
		_, err = s.importFile(t, network("m", "U3"), header, both)
		require.Equal(t, codes.NotFound, status.Code(err))
		_, err = s.importFile(t, testkit.Preparer("11N"), header, both)
		require.Equal(t, codes.NotFound, status.Code(err))
		_, err = s.importFile(t, testkit.Preparer("11N"), &arrsv1.ClaimsHeader{RequestId: "f1", Declared: true, CommissionerCode: "11N"}, both)
		require.Contains(t, fields(err), "line 2, pcn_code RESOURCE_NOT_FOUND")
		_, err = s.importFile(t, testkit.Approver("15N"), header, both)
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		out, err := s.importFile(t, network("m", "U1"), header, one)
		require.NoError(t, err)

		past := claimsHeader + "U1,2025-05,CC 1,,,1000,0,0,,\n"
		header.RequestId = "f2"
		_, err = s.importFile(t, network("m", "U1"), header, past)
		require.Contains(t, fields(err), "line 2, month MONTH_OUT_OF_RANGE")
		old, err := s.importFile(t, testkit.Preparer("15N"), header, past)
		require.NoError(t, err, "the commissioner may enter it")
		amended, err := s.amend(t, old.GetClaims()[0], entry("U1", "2025-05", costing("CC 1", 900_00)))
		require.NoError(t, err, "and the PCN amend it")
		_, err = s.decide(t, amended, true, "")
		require.NoError(t, err)
		_, err = s.decide(t, out.GetClaims()[0], true, "")
		require.NoError(t, err)
	})
}

// TestImportClaims_StormOfFiles has files of the same PCNs in other orders, and the same file many times, come at once.
func TestImportClaims_StormOfFiles(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		pcns := []string{"U1", "U2", "U3", "U4"}
		for _, pcn := range pcns {
			s.fix(t, pcn, "15N", 2025, 1, single(2_500_00))
			s.engage(t, pcn, "CC 1")
		}
		var wg sync.WaitGroup
		errs := make([]error, 12)
		for i := range errs {
			rows := slices.Clone(pcns)
			if i%2 == 1 {
				slices.Reverse(rows)
			}
			file := claimsHeader
			for _, pcn := range rows {
				file += fmt.Sprintf("%s,2025-%02d,CC 1,,,1000,0,0,,\n", pcn, 9+i%4)
			}
			id := s.next()
			by := testkit.Preparer("15N")
			by.Subject = fmt.Sprintf("preparer%d@example.test", i%4) // nobody may have all streams of a server
			ctx := testkit.As(t.Context(), by)
			wg.Go(func() {
				stream, err := s.arrs.ImportClaims(ctx)
				if err != nil {
					errs[i] = err
					return
				}
				header := &arrsv1.ClaimsHeader{RequestId: id, CommissionerCode: "15N", Declared: true}
				_ = stream.Send(&arrsv1.ImportClaimsRequest{Part: &arrsv1.ImportClaimsRequest_Header{Header: header}})
				_ = stream.Send(&arrsv1.ImportClaimsRequest{Part: &arrsv1.ImportClaimsRequest_Chunk{Chunk: []byte(file)}})
				_, errs[i] = stream.CloseAndRecv()
			})
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		s.balanced(t)
		require.Equal(t, int64(16), s.number(t, `SELECT COUNT(*) FROM claims`), "each file once")
		require.Equal(t, int64(4), s.number(t, `SELECT COUNT(*) FROM pots WHERE submitted_pence = 250000`))
	})
}
