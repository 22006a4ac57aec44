package arrs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

const termsHeader = "pcn_code,month,label,per_week,salary,employer_ni,employer_pension,role,band,post,start_date,employer_code,employer_name,recruitment_model,person_reference," +
	"on_pathway,reason_not_on_pathway,in_baseline\n"

func (s *claimSuite) engagements(t *testing.T, pcn string) []*arrsv1.Engagement {
	t.Helper()
	out, err := s.arrs.ListEngagements(s.as(t, testkit.Preparer("15N")), &arrsv1.ListEngagementsRequest{PcnCode: pcn})
	require.NoError(t, err)
	return out.GetEngagements()
}

func TestImportClaims_RecordsTheEngagementsThatRowsState(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(5_000_00))
		s.engage(t, "U1", "CC 1")
		file := termsHeader +
			"U1,2025-11,CP 1,,100,0,0,,,,,,,,,,,\n" + // stands before the row that states it
			"U1,2025-12,CP 1,18.75,1000,100,100,CP,,,2025-04-01,F81001,Mill Practice,employed by practice,GPhC 1,No,trains from May,n\n" +
			"U1,2025-12,CC 1,,500,0,0,CC,,,2025-04-01,,,,,,,\n" + // says what the PCN has said
			"U1,2025-10,CP 1,20,100,0,0,CP,,,,,,,gphc 1,no,,\n"
		header := &arrsv1.ClaimsHeader{RequestId: "f1", CheckOnly: true}
		_, err := s.importFile(t, testkit.Preparer("15N"), header, file)
		require.NoError(t, err, fields(err))
		require.Len(t, s.engagements(t, "U1"), 1, "a check records nothing")

		header.CheckOnly, header.Declared = false, true
		out, err := s.importFile(t, testkit.Preparer("15N"), header, file)
		require.NoError(t, err, fields(err))
		require.Len(t, out.GetClaims(), 3)
		held := s.engagements(t, "U1")
		require.Len(t, held, 2)
		require.Equal(t, "CP 1", held[1].GetLabel())
		require.True(t, held[1].GetPersonKnown())
		require.True(t, proto.Equal(&arrsv1.EngagementTerms{
			RoleCode: "CP", PerWeek: "18.75", StartDate: "2025-04-01", EmployerCode: "F81001", EmployerName: "Mill Practice",
			RecruitmentModel: arrsv1.RecruitmentModel_EMPLOYED_BY_PRACTICE,
			Facts:            &arrsv1.EngagementFacts{OnPathway: arrsv1.Answer_NO, ReasonNotOnPathway: "trains from May", InBaseline: arrsv1.Answer_NO},
		}, held[1].GetTerms()), held[1].GetTerms())
		require.Equal(t, int64(1), s.number(t, `SELECT COUNT(*) FROM audit WHERE resource = $1`, "arrs/engagements/"+held[1].GetEngagementId()))
		require.Equal(t, "20", out.GetClaims()[2].GetLines()[0].GetEntry().GetPerWeek(), "the month's own")
		require.NotContains(t, s.logged.String(), "GPhC")

		again, err := s.importFile(t, testkit.Preparer("15N"), &arrsv1.ClaimsHeader{RequestId: "f2", Declared: true}, file)
		require.NoError(t, err)
		require.True(t, again.GetAlreadyImported())
		require.Len(t, s.engagements(t, "U1"), 2)
	})
}

func TestImportClaims_NamesEveryBadTermOfAnEngagement(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(5_000_00))
		s.engage(t, "U1", "CC 1")
		file := termsHeader +
			"U1,2025-12,A,37.5,1,0,0,CP,,,2025-04-01,,,by magic,,perhaps,,\n" + // line 2
			"U1,2025-12,B,37.5,1,0,0,WIZARD,,,2025-04-01,,,,,,,\n" +
			"U1,2025-12,C,,1,0,0,CC,,,2025-02-30,,,,,,,\n" +
			"U1,2025-12,D,37.5,1,0,0,,,,,,Mill,,,,,\n" +
			"U1,2025-12,CC 1,,1,0,0,SPLW,,,2025-05-01,,,,GPhC 7,yes,,\n" +
			"U1,2025-12,E,37.5,1,0,0,MHP,5,third,2025-04-01,,,,,,,\n" +
			"U9,2025-12,F,37.5,1,0,0,CC,,,2025-04-01,,,,,,,\n"
		_, err := s.importFile(t, testkit.Preparer("15N"), &arrsv1.ClaimsHeader{RequestId: "f1", Declared: true}, file)
		require.Equal(t, "FILE_HAS_BAD_ROWS", claimReason(err))
		told := fields(err)
		for _, want := range []string{
			"line 2, recruitment_model FILE_HAS_BAD_ROWS is no recruitment model", "line 2, on_pathway FILE_HAS_BAD_ROWS is neither yes nor no",
			`line 3, role ENGAGEMENT_INVALID "WIZARD" is not a role`, "line 4, per_week ENGAGEMENT_INVALID is missing", "line 5, role ENGAGEMENT_INVALID is missing",
			"line 5, start_date ENGAGEMENT_INVALID", `line 6, role LABEL_TAKEN differs from engagement "CC 1"`, "line 6, start_date LABEL_TAKEN",
			"line 6, person_reference LABEL_TAKEN", "line 6, on_pathway LABEL_TAKEN", "line 7, post ENGAGEMENT_INVALID", "line 8, pcn_code YEAR_NOT_FIXED",
		} {
			require.Contains(t, told, want)
		}
		require.NotContains(t, told, "ENGAGEMENT_NOT_FOUND")
		require.NotContains(t, told, "GPhC")
		require.Len(t, s.engagements(t, "U1"), 1, "nothing of the file is kept")
		require.Zero(t, s.number(t, `SELECT COUNT(*) FROM claims`))
	})
}

// A file that is taken in is answered, however long the answer would be.
func TestImportClaims_AnswersALongFile(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		header := &arrsv1.ClaimsHeader{RequestId: "f1", Declared: true}
		var file strings.Builder
		file.WriteString(termsHeader)
		for pcn := range 5 {
			s.fix(t, fmt.Sprintf("U%d", pcn), "15N", 2025, 1, single(90_000_000_00))
			for post := range 450 {
				fmt.Fprintf(&file, "U%d,2025-12,CC %d,37.5,1000,100,100,CC,,,2025-04-01,,,,,,,\n", pcn, post)
			}
		}
		out, err := s.importFile(t, testkit.Preparer("15N"), header, file.String())
		require.NoError(t, err, fields(err))
		require.Len(t, out.GetClaims(), 5)
		require.Equal(t, int32(450), out.GetClaims()[0].GetLineCount())
		require.Equal(t, int64(450*1200_00), out.GetClaims()[0].GetTotals()[0].GetPayablePence())
		for _, claim := range out.GetClaims() {
			for _, line := range claim.GetLines() {
				require.Nil(t, line.GetWorking())
			}
		}
	})
}
