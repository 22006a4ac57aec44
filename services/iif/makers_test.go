package iif_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// importer may both take files in and approve.
func importer(commissioners ...string) auth.Principal {
	return auth.Principal{
		Subject: "importer@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_PREPARER, optionsv1.Role_ROLE_FINANCE_APPROVER},
		Commissioners: commissioners,
	}
}

// importFor takes a file in that changes a count of the first PCN, for a commissioner or for England.
func (s *courseSuite) importFor(t testing.TB, who auth.Principal, commissioner string) {
	t.Helper()
	const file = "QUALITY_SERVICE,NAME,ORG_CODE,ACH_DATE,IND_CODE,FIELD_NAME,VALUE,DEFAULT_VALUES_USED,SUBMIT_USER_ID,SUBMIT_DATE,SUBMIT_TIME,LAST_SUBMISSION\n" +
		"NCD2526,Network Contract DES 2025/26,A00001,20260331,HI03,Numerator,79,None,x,05/04/2026,19:36:07,Y\n"
	stream, err := s.iif.ImportCounts(s.as(t, who))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&iifv1.ImportCountsRequest{Part: &iifv1.ImportCountsRequest_Header{Header: &iifv1.CountsHeader{
		RequestId: s.next(), CommissionerCode: commissioner, FileName: "counts.csv", Source: "a file",
	}}}))
	require.NoError(t, stream.Send(&iifv1.ImportCountsRequest{Part: &iifv1.ImportCountsRequest_Chunk{Chunk: []byte(file)}}))
	out, err := stream.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, 1, out.GetCountsImport().GetChanged())
}

func TestApprovePayment_IsNotForWhoTookTheCommissionersOwnFileIn(t *testing.T) {
	for name, c := range map[string]struct {
		who          auth.Principal
		commissioner string
		before       bool
		reason       string
	}{
		"its own before the calculation":   {importer(courseBody), courseBody, true, "APPROVER_IS_MAKER"},
		"its own after the calculation":    {importer(courseBody), courseBody, false, "APPROVER_IS_MAKER"},
		"a national one before":            {importer("*"), "", true, ""},
		"a national one after":             {importer("*"), "", false, ""},
		"its own by who holds all, before": {importer("*"), courseBody, true, "APPROVER_IS_MAKER"},
	} {
		t.Run(name, func(t *testing.T) {
			eachCourse(t, func(t *testing.T, s *courseSuite) {
				if c.before {
					s.importFor(t, c.who, c.commissioner)
				}
				s.calculate(t)
				if !c.before {
					s.importFor(t, c.who, c.commissioner)
				}
				s.nominate(t, coursePCN, testkit.PCNManager().Subject)
				s.bring(t, financial)
				_, err := s.commit(t, coursePCN)
				require.NoError(t, err)
				_, err = s.approveAs(t, c.who, coursePCN)
				require.Equal(t, c.reason, courseReason(err))
			})
		})
	}
}

func TestCorrections_AreNotApprovedByWhoTookTheCommissionersOwnFileIn(t *testing.T) {
	for name, c := range map[string]struct{ commissioner, reason string }{"its own": {courseBody, "APPROVER_IS_MAKER"}, "a national one": {"", ""}} {
		t.Run(name, func(t *testing.T) {
			eachCourse(t, func(t *testing.T, s *courseSuite) {
				s.scheduled(t)
				s.importFor(t, importer("*"), c.commissioner)
				correction, err := s.propose(t)
				require.NoError(t, err)
				_, err = s.decideCorrection(t, importer("*"), correction, true, "")
				require.Equal(t, c.reason, courseReason(err))
			})
		})
	}
}

// A national file leaves what a body and its predecessor entered in the order in which they did.
func TestImportCounts_OfEnglandKeepsTheLaterOfABodyAndItsPredecessor(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].PayerCode = "QZZ" })
		s.register.heirs["QZZ"] = courseBody
		s.countFor(t, "QZZ", "A00001", "HI-03", 74, 90)
		s.countFor(t, courseBody, "A00001", "HI-03", 72, 95)
		s.calculate(t)
		require.Equal(t, "195", s.indicatorOf(t, "HI-03").GetDenominator())
		s.importFor(t, importer("*"), "")
		require.Equal(t, "159", s.indicatorOf(t, "HI-03").GetNumerator())
		require.Equal(t, "195", s.indicatorOf(t, "HI-03").GetDenominator())
	})
}
